"""What propagation holds, in memory or by slabs of columns, and how wide a slab may be."""

from collections.abc import Iterator

import torch

from ..data.dataset import NodeDataset
from ..features.matrix import BLOCK_BYTES
from ..graph.csr import CSRGraph
from ..system.arrays import is_mapped, release, slices
from ..system.ranks import Ranks
from ..system.runtime import Runtime
from ..system.transfer import BUFFERS

TILE_COLUMNS = 16  # of the op


def matrix_needs(
    dataset: NodeDataset, device: torch.device, matrices: int, graphs: int = 1
) -> tuple[int, int]:
    """Bytes of host and GPU memory that so many float32 matrices `[N, D]` and graphs take.

    Features that are in memory as they are needed are not taken again; mapped arrays leave it.
    """
    csr, x = dataset.csr, dataset.matrix
    release(*csr.arrays)
    x.release()
    graph = csr.nbytes if is_mapped(csr.indices) else 0
    matrix = 4 * x.num_rows * x.num_columns
    work = matrices * matrix + 300 * x.num_rows
    if device.type == "cuda":
        kept = csr.nbytes + (0 if x.is_plain else x.stored_bytes)
        return graph + (x.stored_bytes if x.is_mapped else 0), graphs * kept + work
    return graph + work - (matrix if x.is_plain and not x.is_mapped else 0), 0


def slab_needs(csr: CSRGraph, width: int, device: torch.device, parts: int = 1) -> tuple[int, int]:
    """Bytes of host and GPU memory that `propagate_slabs` takes for so many columns at a time, of a
    propagation of so many parts."""
    N, slab = csr.num_rows, 4 * width * csr.num_rows
    host = 3 * BLOCK_BYTES + (csr.nbytes if is_mapped(csr.indices) else 0)
    if device.type == "cuda":  # x, the result and two buffers; partial sums of long rows
        host += 2 * BUFFERS * BLOCK_BYTES + 9 * N  # pinned, for both directions; lengths of rows
        scheduled = 16 * N + (16 + 4 * width) * len(csr.pieces)
        return host, csr.nbytes + 16 * N + 4 * slab + scheduled
    lines = 3 * (32 if width <= 8 else 64)
    slabs = 2 if parts == 1 else 3  # what was read, and a part beside the one it is made of
    return host + (16 + lines) * N + slabs * slab, 0


def slab_width(
    csr: CSRGraph, num_columns: int, runtime: Runtime, held: int = 0, parts: int = 1
) -> int:
    """The most columns that fit at a time, in whole tiles of the op where they are not all.

    Args:
        held: bytes that something else will take meanwhile.
        parts: of the propagation.

    Raises:
        InputError: not even half a tile fits.
    """
    tiles, budget = -(-num_columns // TILE_COLUMNS), runtime.budget
    for most in range(tiles, 0, -1):
        host, gpu = slab_needs(csr, min(most * TILE_COLUMNS, num_columns), runtime.device, parts)
        if budget.fits(host + held, gpu):
            slabs = -(-tiles // most)
            return min(-(-tiles // slabs) * TILE_COLUMNS, num_columns)  # all about as wide
    width = min(TILE_COLUMNS // 2, num_columns)
    host, gpu = slab_needs(csr, width, runtime.device, parts)
    budget.require(f"propagate {csr.num_rows:,} rows of {num_columns:,} features", host + held, gpu)
    return width


def slabs_of(num_columns: int, width: int, ranks: Ranks) -> Iterator[slice]:
    """The slabs that this process is to do; processes share whole tiles."""
    tiles = ranks.share(-(-num_columns // TILE_COLUMNS))
    stop = min(tiles.stop * TILE_COLUMNS, num_columns)
    yield from slices(range(tiles.start * TILE_COLUMNS, stop), width)
