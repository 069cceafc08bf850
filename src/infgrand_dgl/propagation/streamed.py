"""Propagation within a memory budget: no column of X sees another, so some are done at a time."""

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..features.matrix import FeatureMatrix
from ..graph.csr import CSRGraph
from ..system.arrays import empty, map_array, new_array, release
from ..system.kept import kept
from ..system.ranks import Ranks
from ..system.transfer import Staging, copy_thread, is_gpu, reached
from .equation import Propagation


def propagate_slabs(
    csr: CSRGraph,
    propagation: Propagation,
    features: FeatureMatrix,
    out: Tensor,
    slabs: list[slice],
    device: torch.device,
    *,
    scale: float = 1.0,
    nodes: Tensor | None = None,
    on_slab: Callable[[], None] = lambda: None,
) -> None:
    r"""Columns of the propagated features into columns of `out`.

    Args:
        csr: one self-loop per node.
        features: $X$, finite, `[N, D]`, on the CPU, and left out of memory where it is mapped.
        out: `[M, D]` on the CPU, likewise; as many times D columns as the propagation has parts.
        slabs: which columns, the widest first.
        scale: X is multiplied by it before.
        nodes: int64 `[N]`, the distinct rows of `out` that the rows of the result become; by
            default the same ones.
        on_slab: is called after each and each part of it, by the thread that wrote it.

    On a GPU a slab goes there some rows at a time and comes back so, and the next one is read while
    the last one is written.
    """
    if not slabs:
        return
    graph, D, parts = kept(csr, device), features.num_columns, propagation.parts
    reader = _Reader(features, scale, device, widest=slabs[0].stop - slabs[0].start)
    writer = _Writer(out, nodes, device, on_slab)
    with copy_thread(device) as thread:
        writing: Future[None] | None = None
        for columns in slabs:
            part = reader.read(columns)
            for k, one in enumerate(parts):
                if writing is not None:
                    writing.result()  # which leaves the GPU before there is another
                part = one.of(graph, part)
                results, place = [part], slice(columns.start + k * D, columns.stop + k * D)
                if k == len(parts) - 1:
                    del part
                if is_gpu(device):  # while the next slab is read
                    writing = thread.submit(writer.write, results, place, reached(device))
                else:
                    writer.write(results, place)
        if writing is not None:
            writing.result()
    release(*csr.arrays)


class _Reader:
    """Slabs of X on a device, one at a time."""

    def __init__(
        self, features: FeatureMatrix, scale: float, device: torch.device, widest: int
    ) -> None:
        self.features, self.scale, self.staging = features, scale, Staging(device)
        dtype = features.computed_dtype
        self.buffer = None if is_gpu(device) else empty((features.num_rows * widest,), dtype)

    def read(self, columns: slice) -> Tensor:
        shape = self.features.num_rows, columns.stop - columns.start
        if self.buffer is None:
            dtype, device = self.features.computed_dtype, self.staging.device
            slab = torch.empty(shape, dtype=dtype, device=device)
        else:
            slab = self.buffer[: shape[0] * shape[1]].view(shape)
        for rows, block in self.features.blocks():
            self.staging.send(slab[rows], partial(_scaled, block[:, columns], self.scale))
            del block
        return slab


def _scaled(block: Tensor, scale: float, out: Tensor) -> None:
    if scale == 1:
        out.copy_(block)
    else:
        torch.mul(block, scale, out=out)


class _Writer:
    """Takes results to columns of `out`, some rows at a time."""

    def __init__(
        self,
        out: Tensor,
        nodes: Tensor | None,
        device: torch.device,
        on_slab: Callable[[], None],
    ) -> None:
        self.out, self.on_slab, self.staging = out, on_slab, Staging(device)
        # By place in `out`, whose pages are then met once.
        self.nodes, self.order = nodes, None if nodes is None else nodes.argsort()

    def write(self, results: list[Tensor], columns: slice, computed: Any = None) -> None:
        """
        Args:
            results: one `[N, columns]`, taken out: its memory is free when this ends.
            computed: the event after which it is there, of a GPU.
        """
        result, out = results.pop(), self.out
        parts = list(FeatureMatrix(out).row_slices(range(len(result))))
        if computed is not None:
            computed.wait()
        blocks = self.staging.receive(partial(self._rows, result, part) for part in parts)
        for part, block in zip(parts, blocks, strict=True):
            if self.nodes is None or self.order is None:
                out[part, columns].copy_(block)
            else:
                out[self.nodes[self.order[part]], columns] = block.to(out.dtype)
            release(out)
        self.on_slab()

    def _rows(self, result: Tensor, part: slice) -> Tensor:
        """Those that come to `part`; a GPU converts them, the CPU while they are written."""
        device = self.staging.device
        rows = result[part if self.order is None else self.order[part].to(device)]
        return rows.to(self.out.dtype) if is_gpu(device) else rows


def shared_array(path: Path, shape: tuple[int, int], dtype: torch.dtype, ranks: Ranks) -> Tensor:
    """A new .npy file that all processes map for writing."""
    with ranks.together():
        created = new_array(path, shape, dtype) if ranks.first else None
    with ranks.together():
        return map_array(path, write=True) if created is None else created
