r"""What neighbours differ in (FF-G2M's high-frequency term), edge by edge:

$$L_h = \frac{1}{|E|} \sum_{(i,j)\in E} \mathrm{KL}\bigl(\sigma(|t_i - t_j|/\tau) \,\|\,
        \sigma(|z_i - z_j|/\tau)\bigr)$$

over the edges that are no self-loops, in both directions, by their weights. A pair of nodes has a
target of its own, so the sum does not collapse. With $P_{ij}$ and $p_{ij}$ the two distributions
of an edge, the gradient of an undirected graph is

$$\frac{\partial L_h}{\partial z_i} = \frac{2}{|E|\,\tau} \sum_j \mathrm{sign}(z_i - z_j) \circ
  (p_{ij} - P_{ij})$$

so that one pass over blocks of edges has both, and no row of classes for every edge is ever held.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..errors import check_shape
from ..graph.csr import CSRGraph
from ..ops import spmm
from ..system.arrays import slices

ENTRIES = {"cpu": 1 << 18, "cuda": 1 << 24}  # of a block's edges and classes, which caches hold


class EdgeDifferences:
    r"""$L_h$ of a student's logits.

    Args:
        graph: undirected, one self-loop per node, on the device of the logits.
        teacher: $t$, `[N, C]`, floating point.
        tau: τ.
        entries: of a block, edges times classes; None: as the device likes.

    Call with the student's logits, `[N, C]`, to get a differentiable scalar.
    """

    def __init__(
        self, graph: CSRGraph, teacher: Tensor, tau: float, entries: int | None = None
    ) -> None:
        check_shape("teacher", teacher, [graph.num_rows, "C"])
        self.graph, self.tau = graph, tau
        self.teacher = teacher.to(torch.promote_types(teacher.dtype, torch.float32))
        entries = entries or ENTRIES.get(teacher.device.type, ENTRIES["cuda"])
        step = max(1, entries // max(1, teacher.shape[1]))
        self.blocks = [block_of(graph, edges) for edges in slices(range(graph.num_edges), step)]
        sums = graph.num_edges if graph.weights is None else float(graph.row_sums.sum())
        total = sums - graph.num_rows  # without the self-loops, whose terms are 0
        self.scale = 1 / total if total > 0 else 0.0

    def __call__(self, student_logits: Tensor) -> Tensor:
        check_shape("student_logits", student_logits, self.teacher.shape)
        return _Differences.apply(student_logits.to(self.teacher.dtype), self)

    def of_block(self, z: Tensor, block: Block, grad: Tensor | None) -> Tensor:
        """The sum over its edges, of student z; its gradient is added to `grad`. `[N, C]` each."""
        graph, t, edges, rows = self.graph, self.teacher, block.edges, block.rows
        nodes = torch.arange(rows.start, rows.stop, device=z.device)
        i = nodes.repeat_interleave(block.by_row.row_lengths, output_size=block.by_row.num_edges)
        j = graph.indices[edges]
        difference = z.index_select(0, i).sub_(z.index_select(0, j))
        expected = t.index_select(0, i).sub_(t.index_select(0, j)).abs_()
        log_P = expected.div_(self.tau).log_softmax(dim=1)
        log_p = difference.abs().div_(self.tau).log_softmax(dim=1)
        P = log_P.exp()
        kl = torch.linalg.vecdot(P, log_P - log_p)
        weights = None if graph.weights is None else graph.weights[edges].to(z.dtype)
        if grad is not None:
            change = log_p.exp_().sub_(P).mul_(difference.sign_())
            grad[rows] += spmm(block.by_row, change, values=weights)
        return kl.sum() if weights is None else kl @ weights


class Block(NamedTuple):
    """Edges that are worked on together.

    Args:
        edges: which.
        rows: that they are of; the first and the last may have others beside.
        by_row: the edges of each row, as columns.
    """

    edges: slice
    rows: slice
    by_row: CSRGraph


def block_of(graph: CSRGraph, edges: slice) -> Block:
    """(Made once: a GPU that is asked for shapes in training would make it wait.)"""
    ends = torch.tensor([edges.start, edges.stop - 1], device=graph.indptr.device)
    first, last = (torch.searchsorted(graph.indptr, ends, right=True) - 1).tolist()
    indptr = graph.indptr[first : last + 2].clamp(edges.start, edges.stop).cpu() - edges.start
    count = edges.stop - edges.start
    by_row = CSRGraph(indptr, torch.arange(count, dtype=torch.int32), count)
    return Block(edges, slice(first, last + 1), by_row.to(graph.indptr.device))


class _Differences(torch.autograd.Function):
    """Loss and gradient in one pass."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, edges: EdgeDifferences) -> Tensor:
        grad = torch.zeros_like(z) if ctx.needs_input_grad[0] else None
        loss = z.new_zeros(())
        for block in edges.blocks:
            loss += edges.of_block(z, block, grad)
        if grad is not None:
            ctx.save_for_backward(grad.mul_(2 * edges.scale / edges.tau))
        return loss.mul_(edges.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.saved_tensors[0], None
