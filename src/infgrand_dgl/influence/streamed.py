r"""`cosine_influence` within a memory budget and over processes: rows a block at a time.

$X^{(k)}$ goes to a file, slab by slab of columns; $s$ is summed over blocks of its rows; then every
block of rows of X meets $s$ and, for the minimum cosine, every block of rows of $X^{(k)}$, each
pair searched below the least value of those before.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from ..features.matrix import BLOCK, dense_rows, largest_magnitude, row_blocks
from ..graph.csr import CSRGraph
from ..propagation.streamed import Progress, propagate_slabs, shared_array, slab_width, slabs_of
from ..system.arrays import release
from ..system.kept import drop
from ..system.memory import Budget
from ..system.ranks import ALONE, Ranks
from .cosine import Influence, normalized, sums_with, total, unit_rows
from .measure import Normalization
from .minimum import MinCosine, min_cosine

LEAST_ROWS = 4096  # of a block; with fewer, every pair of blocks costs more than its products


@torch.no_grad()
def cosine_influence_by_blocks(
    csr: CSRGraph,
    features: Tensor,
    *,
    hops: int,
    normalization: Normalization,
    self_loop_weight: float,
    num_columns: int | None,
    device: torch.device,
    budget: Budget,
    scratch: Path | None = None,
    ranks: Ranks = ALONE,
    progress: Progress | None = None,
) -> Influence:
    """As `cosine_influence`, from features that need not fit in memory.

    Args:
        features: floating point `[N, D]`, dense (best mapped) or sparse CSR, on the CPU.
        device: where blocks are worked on, and where the scores will be.
        budget: what each process may hold.
        scratch: where a temporary folder holds X^(k); by default the system's.
        ranks: whose processes share columns and rows; all must see `scratch`.

    Raises:
        InputError: NaN or infinite features; a budget in which nothing fits.
    """
    N, D = csr.num_rows, features.shape[1]
    largest = largest_magnitude(features, N, ranks, device)
    exponent = math.frexp(largest)[1]
    mine = ranks.share(N)
    with ranks.together():
        slabs, pairs = [], normalization == "minmax"
        if hops:
            slabs = list(slabs_of(D, slab_width(csr, D, device, budget), ranks))
        rows = block_rows(N, D, device, budget) if pairs else max(1, BLOCK // (4 * max(1, D)))
    x_blocks, y_blocks = blocks(mine, rows), blocks(range(N), rows) if pairs else []
    steps = iter(range(1, 2 + len(slabs) + len(x_blocks) * max(1, len(y_blocks))))

    def step() -> None:
        done = next(steps)
        if progress is not None:
            progress(done, len(slabs) + len(x_blocks) * max(1, len(y_blocks)))

    with propagated_file(N, D, scratch, ranks) if hops else nullcontext(features) as y:
        with ranks.together():
            propagate_slabs(
                csr,
                features,
                y,
                slabs,
                hops=hops,
                pooling=None,
                self_loop_weight=self_loop_weight,
                device=device,
                # As there: cosines do not see it, and nothing overflows.
                factor=2.0**-exponent if abs(exponent) > 30 else 1.0,
                on_slab=step,
            )
        if pairs:
            drop()  # the graph: blocks of rows take what is left
        with ranks.together():
            s = torch.zeros(D, dtype=torch.float64, device=device)
            counted = N if num_columns is None else min(N, num_columns)
            for part in row_blocks(y, ranks.share(counted)):
                s += total(unit_block(y, part, device))
        ranks.sum(s)
        sums = torch.zeros(N, dtype=torch.float64, device=device)
        found = MinCosine(math.inf, (-1, -1), 0, 0)
        with ranks.together():
            for own in x_blocks:
                x = unit_block(features, own, device)
                sums[own] = sums_with(x, s)
                for other in y_blocks:
                    block = unit_block(y, other, device)
                    found = least(found, x, block, own.start, other.start)
                    del block
                    step()
                if not y_blocks:
                    step()
                del x
    ranks.sum(sums)
    minimum = agreed(found, N, ranks, device) if pairs else None
    return normalized(sums, normalization, counted, minimum)


def block_rows(N: int, D: int, device: torch.device, budget: Budget) -> int:
    """How many rows of X and of X^(k) may meet at a time.

    Raises:
        InputError: too few to be worth it.
    """

    def needs(rows: int) -> tuple[int, int]:
        # Two blocks of unit rows and of those that are not zero, the search's own order of one, and
        # numbers for each row; and N sums.
        held = 40 * N + rows * (20 * D + 300)
        return (4 * rows * D + 3 * BLOCK, held) if device.type == "cuda" else (held + 3 * BLOCK, 0)

    fewest = min(N, LEAST_ROWS)
    budget.require(f"compare {N:,} rows of {D:,} features", *needs(fewest))
    count = 1
    while -(-N // count) > fewest and not budget.fits(*needs(-(-N // count))):
        count += 1
    return max(fewest, -(-N // count))


def blocks(rows: range, size: int) -> list[slice]:
    return [slice(a, min(a + size, rows.stop)) for a in range(rows.start, rows.stop, size)]


@contextmanager
def propagated_file(N: int, D: int, scratch: Path | None, ranks: Ranks) -> Iterator[Tensor]:
    """X^(k), float32 `[N, D]`, mapped by all processes from a temporary file."""
    with ExitStack() as stack:
        with ranks.together():
            folder = stack.enter_context(TemporaryDirectory(dir=scratch)) if ranks.first else ""
        yield shared_array(Path(ranks.tell(folder)) / "propagated.npy", (N, D), "float32", ranks)
        ranks.wait()


def unit_block(matrix: Tensor, rows: slice, device: torch.device) -> Tensor:
    """`unit_rows` of some rows in float32, on `device`; nothing of a mapped matrix stays."""
    unit = unit_rows(dense_rows(matrix, rows).to(device, torch.float32))
    release(matrix)
    return unit


def least(known: MinCosine, x: Tensor, y: Tensor, i: int, j: int) -> MinCosine:
    """The minimum so far, and of x and y, whose rows are numbered from i and j."""
    found = min_cosine(x, y, below=known.value)
    a, b = found.pair
    return MinCosine(
        found.value,
        known.pair if a < 0 else (i + a, j + b),
        known.pairs_evaluated + found.pairs_evaluated,
        max(known.cones, found.cones),
    )


def agreed(found: MinCosine, N: int, ranks: Ranks, device: torch.device) -> MinCosine:
    """The least of the processes' minima, what all of them took."""

    def number(value: float | int, dtype: torch.dtype = torch.long) -> Tensor:
        return torch.tensor(value, dtype=dtype, device=device)

    value = float(ranks.min(number(found.value, torch.float64)))
    i, j = found.pair
    pair = int(ranks.max(number(i * N + j if found.value == value and i >= 0 else -1)))
    return MinCosine(
        value,
        divmod(pair, N),
        int(ranks.sum(number(found.pairs_evaluated))),
        int(ranks.max(number(found.cones))),
    )
