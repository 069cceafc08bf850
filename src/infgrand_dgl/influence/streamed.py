r"""`cosine_influence` within a memory budget and over processes: rows a block at a time.

$X^{(k)}$ goes to a file, slab by slab of columns; $s$ is summed over blocks of its rows; then every
block of rows of X meets $s$ and, for the minimum cosine, every block of rows of $X^{(k)}$, each
pair searched below the least value of those before.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from ..features.matrix import BLOCK_BYTES, FeatureMatrix
from ..graph.csr import CSRGraph
from ..propagation.equation import Propagation
from ..propagation.memory import slab_width, slabs_of
from ..propagation.streamed import propagate_slabs, shared_array
from ..system.arrays import slices
from ..system.kept import drop
from ..system.runtime import Runtime
from .cosine import Influence, harmless_scale, normalized, sums_with, total, unit_rows
from .measure import Normalization
from .minimum import MinCosine, min_cosine

LEAST_ROWS = 4096  # of a block; with fewer, every pair of blocks costs more than its products


@torch.no_grad()
def cosine_influence_by_blocks(
    csr: CSRGraph,
    features: FeatureMatrix,
    propagation: Propagation,
    runtime: Runtime,
    *,
    normalization: Normalization,
    num_columns: int | None = None,
) -> Influence:
    """As `cosine_influence`, from features that need not fit in memory.

    Args:
        features: `[N, D]` on the CPU, best mapped or sparse.
        propagation: of X^(k), without pooling.
        runtime: its processes share columns and rows; a temporary folder in `scratch` holds X^(k).

    Raises:
        InputError: NaN or infinite features; a budget in which nothing fits.
    """
    N, D, ranks = csr.num_rows, features.num_columns, runtime.ranks
    scale = harmless_scale(features.largest_magnitude(N, runtime))
    pairs, mine = normalization == "minmax", ranks.share(N)
    with ranks.together():
        slabs = []
        if propagation.hops:
            slabs = list(slabs_of(D, slab_width(csr, D, runtime), ranks))
        rows = block_rows(N, D, runtime) if pairs else 0
    x_blocks = list(slices(mine, rows) if pairs else features.row_slices(mine))
    y_blocks = list(slices(range(N), rows)) if pairs else []
    step = runtime.steps(len(slabs) + len(x_blocks) * max(1, len(y_blocks)))
    counted = N if num_columns is None else min(N, num_columns)
    with propagated(csr, features, propagation, slabs, scale, runtime, step) as y:
        if pairs:
            drop()  # the graph: blocks of rows take what is left
        s = total_by_blocks(y, counted, runtime)
        with ranks.together():
            sums, minimum = compared(features, y, s, x_blocks, y_blocks, step)
    ranks.sum(sums)
    certificate = agreed(minimum, N, runtime) if pairs else None
    return normalized(sums, normalization, counted, certificate)


def block_rows(N: int, D: int, runtime: Runtime) -> int:
    """How many rows of X and of X^(k) may meet at a time.

    Raises:
        InputError: too few to be worth it.
    """
    budget = runtime.budget

    def needs(rows: int) -> tuple[int, int]:
        # Two blocks of unit rows and of those that are not zero, the search's own order of one, and
        # numbers for each row; and N sums.
        held, read = 40 * N + rows * (20 * D + 300), 3 * BLOCK_BYTES
        return (4 * rows * D + read, held) if runtime.device.type == "cuda" else (held + read, 0)

    fewest = min(N, LEAST_ROWS)
    budget.require(f"compare {N:,} rows of {D:,} features", *needs(fewest))
    count = 1
    while -(-N // count) > fewest and not budget.fits(*needs(-(-N // count))):
        count += 1
    return max(fewest, -(-N // count))


@contextmanager
def propagated(
    csr: CSRGraph,
    features: FeatureMatrix,
    propagation: Propagation,
    slabs: list[slice],
    scale: float,
    runtime: Runtime,
    on_slab: Callable[[], None],
) -> Iterator[FeatureMatrix]:
    """X^(k) of scale·X, float32 `[N, D]`, mapped by all processes from a temporary file; X itself
    where k = 0.

    Args:
        slabs: the columns that are this process's.
    """
    if not propagation.hops:
        yield features
        return
    ranks, shape = runtime.ranks, (features.num_rows, features.num_columns)
    with ExitStack() as stack:
        with ranks.together():
            folder = ""
            if ranks.first:
                folder = stack.enter_context(TemporaryDirectory(dir=runtime.scratch))
        path = Path(ranks.tell(folder)) / "propagated.npy"
        y = shared_array(path, shape, torch.float32, ranks)
        with ranks.together():
            propagate_slabs(
                csr, propagation, features, y, slabs, runtime.device, scale=scale, on_slab=on_slab
            )
        yield FeatureMatrix(y)
        ranks.wait()


def total_by_blocks(y: FeatureMatrix, count: int, runtime: Runtime) -> Tensor:
    """`total` of the first `count` unit rows of y, in every process."""
    with runtime.ranks.together():
        s = torch.zeros(y.num_columns, dtype=torch.float64, device=runtime.device)
        for rows in y.row_slices(runtime.ranks.share(count)):
            s += total(unit_block(y, rows, s.device))
    return runtime.ranks.sum(s)


def compared(
    features: FeatureMatrix,
    y: FeatureMatrix,
    s: Tensor,
    x_blocks: list[slice],
    y_blocks: list[slice],
    step: Callable[[], None],
) -> tuple[Tensor, MinCosine]:
    r"""$\hat x_i\cdot s$ of the rows in `x_blocks`, float64 `[N]`, 0 elsewhere; and the minimum of
    $\hat x_i\cdot\hat y_j$ with the rows in `y_blocks`."""
    sums = s.new_zeros(features.num_rows)
    minimum = MinCosine(math.inf, (-1, -1), 0, 0)
    for i in x_blocks:
        x = unit_block(features, i, s.device)
        sums[i] = sums_with(x, s)
        for j in y_blocks:
            block = unit_block(y, j, s.device)
            minimum = least(minimum, x, block, i.start, j.start)
            del block
            step()
        if not y_blocks:
            step()
        del x
    return sums, minimum


def unit_block(matrix: FeatureMatrix, rows: slice, device: torch.device) -> Tensor:
    """`unit_rows` of some rows in float32, on `device`; nothing of a mapped matrix stays."""
    unit = unit_rows(matrix.rows(rows).to(device, torch.float32))
    matrix.release()
    return unit


def least(known: MinCosine, x: Tensor, y: Tensor, i: int, j: int) -> MinCosine:
    """The minimum so far, and of x and y, whose rows are numbered from i and j."""
    minimum = min_cosine(x, y, below=known.value)
    a, b = minimum.pair
    return MinCosine(
        minimum.value,
        known.pair if a < 0 else (i + a, j + b),
        known.pairs_evaluated + minimum.pairs_evaluated,
        max(known.cones, minimum.cones),
    )


def agreed(minimum: MinCosine, N: int, runtime: Runtime) -> MinCosine:
    """The least of the processes' minima, what all of them took."""
    ranks = runtime.ranks

    def number(value: float | int, dtype: torch.dtype = torch.long) -> Tensor:
        return torch.tensor(value, dtype=dtype, device=runtime.device)

    value = float(ranks.min(number(minimum.value, torch.float64)))
    i, j = minimum.pair
    pair = int(ranks.max(number(i * N + j if minimum.value == value and i >= 0 else -1)))
    return MinCosine(
        value,
        divmod(pair, N),
        int(ranks.sum(number(minimum.pairs_evaluated))),
        int(ranks.max(number(minimum.cones))),
    )
