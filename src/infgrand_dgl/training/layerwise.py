"""Inference layer by layer over blocks of rows, for graphs whose full forward does not fit."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from ..features.matrix import FeatureMatrix
from ..features.sparse import SparseMatrix, row_source
from ..graph.csr import CSRGraph
from ..nn.gnn import GNN
from ..system.arrays import new_array, release
from ..system.runtime import Runtime
from ..system.transfer import Staging, prefetched
from .sampling import gather

# Of what is left of a budget, for one block; the rest is for what lies between the blocks, and on a
# GPU for the inputs of the next one.
SHARE = 0.25
ENTRIES = 1 << 22  # a larger block is no faster
FLOATS = 4  # of the widest layer per source of a block, in all


@torch.no_grad()
def layerwise(
    model: GNN,
    csr: CSRGraph,
    features: FeatureMatrix,
    runtime: Runtime,
    *,
    entries: int | None = None,
    dtype: torch.dtype = torch.float32,
    hidden: bool = False,
) -> Tensor:
    """Logits of all nodes, `[N, C]` on the CPU, equal to the full forward's.

    Args:
        model: of the native backend, on the runtime's device.
        csr: square, on the CPU.
        features: `[N, D]`.
        runtime: layers that do not fit its budget are mapped files in its scratch folder; without
            one, every layer stays in memory.
        entries: edges of a block, at most (a row is never cut); None: as the budget allows.
        dtype: of the logits.
        hidden: not they, but what the layer reads that gives them, float32 `[N, H]`.
    """
    device, last, N = runtime.device, len(model.layers) - 1, csr.num_rows
    if entries is None:
        entries = _entries(max(model.widths), runtime)
    h, staging = row_source(features), Staging(device)
    jumped = None if model.head is None else _matrix(N, model.widths[-1], torch.float32, runtime)
    for k, width in enumerate(model.widths[1:]):
        if k == last and hidden and model.head is None:
            break
        if k == last:
            width = width if model.head is None else model.head.out_features
        out = _matrix(N, width, dtype if k == last else torch.float32, runtime)
        calls = (partial(_block, csr, h, rows, staging) for rows in cuts(csr.indptr, entries))
        for rows, block, x in prefetched(calls, device):
            y, part = model.layer(k, block, x), slice(rows.start, rows.stop)
            if jumped is not None and model.head is not None:
                handed = model.jump(None if k == 0 else jumped[part].to(device), y)
                y = model.of_head(handed) if k == last else y
                jumped[part] = handed.cpu()
            out[part] = y.cpu()
            del block, x, y  # before the next one but one
            for matrix in (h, jumped, out):  # of mapped ones
                if isinstance(matrix, Tensor):
                    release(matrix)
        h = out
    return jumped if hidden and jumped is not None else out


def _entries(width: int, runtime: Runtime) -> int:
    """Edges of a block for which the budget has room, in layers of at most a width."""
    budget, device = runtime.budget, runtime.device
    left = budget.left(device)
    budget.make_room(device, left)
    room = int(SHARE * min(budget.left(), left))
    return min(ENTRIES, room // (4 * FLOATS * width))


def _block(
    csr: CSRGraph, h: Tensor | SparseMatrix, rows: range, staging: Staging
) -> tuple[range, CSRGraph, Tensor | SparseMatrix]:
    """Rows, their part of the graph and the inputs of its sources, on the device of `staging`."""
    block, nodes = csr.block(rows.start, rows.stop)
    return rows, block.to(staging.device), gather(h, nodes, staging)


def cuts(indptr: Tensor, entries: int) -> Iterator[range]:
    """Rows in order, as many at once as have at most so many entries together, or one."""
    first, num_rows = 0, len(indptr) - 1
    while first < num_rows:
        last = int(torch.searchsorted(indptr, indptr[first] + entries, right=True)) - 1
        last = min(max(last, first + 1), num_rows)
        yield range(first, last)
        first = last


def _matrix(rows: int, width: int, dtype: torch.dtype, runtime: Runtime) -> Tensor:
    """Empty, in memory where half of what is left suffices, else a file that goes with it."""
    size = rows * width * dtype.itemsize
    if runtime.scratch is None or 2 * size <= runtime.budget.left():
        return torch.empty(rows, width, dtype=dtype)
    path = runtime.scratch / f"layer-{rows}-{width}.npy"
    matrix = new_array(path, (rows, width), dtype)
    path.unlink()  # the mapping keeps it
    return matrix
