"""Propagation within a memory budget: no column of X sees another, so some are done at a time."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..features.matrix import BLOCK_BYTES, FeatureMatrix
from ..graph.csr import CSRGraph
from ..ops import Pooling, propagate
from ..system.arrays import is_mapped, map_array, new_array, release
from ..system.kept import kept
from ..system.memory import Budget
from ..system.ranks import Ranks
from ..system.transfer import BUFFERS, Staging, helper, is_gpu, reached

UNIT = 16  # columns of a tile of the op

# Is told how many steps are done, and of how many.
Progress = Callable[[int, int], None]


def slab_needs(csr: CSRGraph, width: int, device: torch.device) -> tuple[int, int]:
    """Bytes of host and GPU memory that `propagate_slabs` takes for so many columns at a time."""
    N, slab = csr.num_rows, 4 * width * csr.num_rows
    host = 3 * BLOCK_BYTES + (csr_bytes(csr) if is_mapped(csr.indices) else 0)
    if device.type == "cuda":  # x, the result and two buffers; partial sums of long rows
        host += 2 * BUFFERS * BLOCK_BYTES + 9 * N  # pinned, for both directions; lengths of rows
        return host, csr_bytes(csr) + 16 * N + 4 * slab + (16 + 4 * width) * len(csr.pieces)
    lines = 3 * (32 if width <= 8 else 64)
    return host + (16 + lines) * N + 2 * slab, 0


def csr_bytes(csr: CSRGraph) -> int:
    return 8 * len(csr.indptr) + 4 * csr.num_edges


def slab_width(
    csr: CSRGraph, num_columns: int, device: torch.device, budget: Budget, held: int = 0
) -> int:
    """The most columns that fit at a time, in whole tiles of the op where they are not all.

    Args:
        held: bytes that something else will take meanwhile.

    Raises:
        InputError: not even half a tile fits.
    """
    tiles = -(-num_columns // UNIT)
    for most in range(tiles, 0, -1):
        host, gpu = slab_needs(csr, min(most * UNIT, num_columns), device)
        if budget.fits(host + held, gpu):
            slabs = -(-tiles // most)
            return min(-(-tiles // slabs) * UNIT, num_columns)  # all about as wide
    width = min(UNIT // 2, num_columns)
    host, gpu = slab_needs(csr, width, device)
    budget.require(f"propagate {csr.num_rows:,} rows of {num_columns:,} features", host + held, gpu)
    return width


def slabs_of(num_columns: int, width: int, ranks: Ranks) -> Iterator[slice]:
    """The slabs that this process is to do; processes share whole tiles."""
    tiles = ranks.share(-(-num_columns // UNIT))
    stop = min(tiles.stop * UNIT, num_columns)
    for begin in range(tiles.start * UNIT, stop, width):
        yield slice(begin, min(begin + width, stop))


def shared_array(path: Path, shape: tuple[int, int], dtype: str, ranks: Ranks) -> Tensor:
    """A new .npy file that all processes map for writing."""
    with ranks.together():
        created = new_array(path, shape, dtype) if ranks.first else None
    with ranks.together():
        return map_array(path, write=True) if created is None else created


def propagate_slabs(
    csr: CSRGraph,
    features: Tensor,
    out: Tensor,
    slabs: list[slice],
    *,
    hops: int,
    pooling: Pooling | None,
    self_loop_weight: float,
    device: torch.device,
    factor: float = 1.0,
    rows: Tensor | None = None,
    on_slab: Callable[[], None] = lambda: None,
) -> None:
    r"""Columns of $\tilde X$, or of $X^{(P)}$ where pooling is None, into columns of `out`.

    Args:
        csr: one self-loop per node.
        features: $X$, finite floating point `[N, D]`, dense or sparse CSR; on the CPU, and left
            out of memory where it is mapped.
        out: `[M, D]` on the CPU, likewise.
        slabs: which columns, the widest first.
        factor: X is multiplied by it before.
        rows: int64 `[N]`, the distinct rows of `out` that the rows of the result become; by default
            the same ones.
        on_slab: is called after each, by the thread that wrote it.

    On a GPU a slab goes there some rows at a time and comes back so, and the next one is read while
    the last one is written.
    """
    if not slabs:
        return
    N, dtype = csr.num_rows, torch.promote_types(features.dtype, torch.float32)
    graph = kept(csr, device)
    up, down = Staging(device), Staging(device)
    buffer = None
    if not is_gpu(device):
        # NumPy asks for huge pages, which are filled three times as fast.
        widest = slabs[0].stop - slabs[0].start
        buffer = torch.from_numpy(np.empty(N * widest, str(dtype).removeprefix("torch.")))
    order = None if rows is None else rows.argsort()

    def read(columns: slice) -> Tensor:
        width = columns.stop - columns.start
        if buffer is None:
            slab = torch.empty(N, width, dtype=dtype, device=device)
        else:
            slab = buffer[: N * width].view(N, width)
        for part in FeatureMatrix(features).row_slices():
            block = FeatureMatrix(features).rows(part)[:, columns]
            up.send(slab[part], partial(_scaled, block, factor))
            del block
            release(features)
        return slab

    def picked(result: Tensor, part: slice) -> Tensor:
        found = result[part if order is None else order[part].to(device)]
        return found if buffer is not None else found.to(out.dtype)

    def write(results: list[Tensor], columns: slice, computed: Any) -> None:
        result, parts = results.pop(), list(FeatureMatrix(out).row_slices(range(N)))
        if computed is not None:
            computed.wait()
        found = down.receive(partial(picked, result, part) for part in parts)
        for part, block in zip(parts, found, strict=True):
            if rows is None or order is None:
                out[part, columns].copy_(block)
            else:  # by place in `out`, whose pages are then met once
                out[rows[order[part]], columns] = block.to(out.dtype)
            release(out)
        on_slab()

    with helper(device) as thread:
        writing: Future[None] | None = None
        for columns in slabs:
            slab = read(columns)
            if writing is not None:
                writing.result()  # which leaves the GPU before there is another
            results = [
                propagate(
                    graph, slab, hops=hops, pooling=pooling, self_loop_weight=self_loop_weight
                )
            ]
            del slab
            if is_gpu(device):  # while the next slab is read
                writing = thread.submit(write, results, columns, reached(device))
            else:
                write(results, columns, None)
        if writing is not None:
            writing.result()
    release(csr.indptr, csr.indices)


def _scaled(block: Tensor, factor: float, out: Tensor) -> None:
    if factor == 1:
        out.copy_(block)
    else:
        torch.mul(block, factor, out=out)
