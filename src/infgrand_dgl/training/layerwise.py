"""Inference layer by layer over blocks of rows, for graphs whose full forward does not fit."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ..features.matrix import FeatureMatrix
from ..features.sparse import SparseMatrix, row_source
from ..graph.csr import CSRGraph
from ..nn.gnn import GNN
from ..system.arrays import new_array, release
from ..system.memory import Budget
from ..system.transfer import Staging, prefetched
from .sampling import gather

# Of what is left of a budget, for one block; the rest is for what lies between the blocks, and on a
# GPU for the inputs of the next one.
SHARE = 0.25
ENTRIES = 1 << 22  # a larger block is no faster
FLOATS = 4  # of the widest layer per source of a block, all told


@torch.no_grad()
def layerwise(
    model: GNN,
    csr: CSRGraph,
    features: Tensor,
    *,
    budget: Budget | None = None,
    scratch: Path | None = None,
    entries: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Logits of all nodes, `[N, C]` on the CPU, equal to the full forward's.

    Args:
        model: of the native backend, on the device that computes.
        csr: square, on the CPU.
        features: `[N, D]`, dense (it may be mapped) or sparse CSR.
        budget: layers that do not fit it are mapped files.
        scratch: folder of those files; None: every layer stays in memory.
        entries: edges of a block, at most (a row is never cut); None: as the budget allows.
        dtype: of the logits.
    """
    device = next(model.parameters()).device
    if entries is None:
        entries = ENTRIES
        if budget is not None:
            left = budget.left(device)
            budget.make_room(device, left)
            room = int(SHARE * min(budget.left(), left))
            entries = min(entries, room // (4 * FLOATS * max(model.widths)))
    h = row_source(FeatureMatrix(features))
    last, staging = len(model.layers) - 1, Staging(device)
    for k, width in enumerate(model.widths[1:]):
        out = _matrix(csr.num_rows, width, dtype if k == last else torch.float32, budget, scratch)
        calls = (partial(_block, csr, h, rows, staging) for rows in cuts(csr.indptr, entries))
        for rows, block, x in prefetched(calls, device):
            out[rows.start : rows.stop] = model.layer(k, block, x).cpu()
            del block, x  # before the next one but one
            for matrix in (h, out):  # of mapped ones
                if isinstance(matrix, Tensor):
                    release(matrix)
        h = out
    return out


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


def _matrix(
    rows: int, width: int, dtype: torch.dtype, budget: Budget | None, scratch: Path | None
) -> Tensor:
    """Empty, in memory where half of what is left suffices, else a file that goes with it."""
    if scratch is None or budget is None or 2 * rows * width * dtype.itemsize <= budget.left():
        return torch.empty(rows, width, dtype=dtype)
    path = scratch / f"layer-{rows}-{width}.npy"
    found = new_array(path, (rows, width), dtype)
    path.unlink()  # the mapping keeps it
    return found
