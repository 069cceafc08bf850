r"""Divergences along the edges, without a row of classes per edge.

Both directions of the KL divergence are one inner product per edge,
$d_e = x_i\cdot y_j$ for $e = (i, j)$, of rows with one column more:

    KL(q_j || p_i) = Σ q_j·log q_j - q_j·log p_i = [log p_i, 1] · [-q_j, Σ q_j·log q_j]
    KL(p_i || q_j) = Σ p_i·log p_i - p_i·log q_j = [p_i, Σ p_i·log p_i] · [-log q_j, 1]
"""

from typing import Any, Literal

import torch
from torch import Tensor

from ..graph.csr import CSRGraph
from . import _library

Direction = Literal["forward", "reverse"]


def edge_kl(
    graph: CSRGraph,
    student_logits: Tensor,
    teacher_logits: Tensor,
    weights: Tensor | None = None,
    *,
    tau: float = 1.0,
    direction: Direction = "forward",
) -> Tensor:
    r"""$v_e\,\mathrm{KL}(q_j \| p_i)$ ("forward") or $v_e\,\mathrm{KL}(p_i \| q_j)$ ("reverse") of
    every edge $e = (i, j)$, with $p = \sigma(h^s/\tau)$ of the student and
    $q = \sigma(h^t/\tau)$ of the teacher.

    Args:
        graph: row i holds the neighbours j, `[N, M]`.
        student_logits: $h^s$, `[N, C]`, floating point. Differentiable.
        teacher_logits: $h^t$, `[M, C]`. Constants: no gradient reaches them.
        weights: $v$, `[E]`; 1 where not given. Differentiable.
        tau: the temperature.
        direction: "forward" or "reverse".

    Returns:
        `[E]`, in the order of the graph's edges; float64 if an operand is, else float32.
    """
    dtype = torch.promote_types(student_logits.dtype, teacher_logits.dtype)
    dtype = torch.promote_types(dtype, torch.float32)
    log_p = (student_logits.to(dtype) / tau).log_softmax(dim=1)
    log_q = (teacher_logits.detach().to(dtype) / tau).log_softmax(dim=1)
    known, given = (log_q, log_p) if direction == "forward" else (log_p, log_q)
    probability = known.exp()
    negative_entropy = (probability * known).sum(dim=1, keepdim=True)
    measured = torch.cat([probability, negative_entropy], dim=1)
    against = torch.cat([-given, torch.ones_like(given[:, :1])], dim=1)
    if direction == "forward":
        kl = edge_dot(graph, against, measured)
    else:
        kl = edge_dot(graph, measured, against)
    return kl if weights is None else weights * kl


def edge_dot(graph: CSRGraph, x: Tensor, y: Tensor) -> Tensor:
    r"""$d_e = x_i\cdot y_j$ for every edge $e = (i, j)$.

    Args:
        graph: `[N, M]`, on the device of the operands.
        x: `[N, D]`, float32 or float64. Differentiable.
        y: `[M, D]`, likewise. A constant: no gradient reaches it.

    Returns:
        `[E]`, dtype of the operands.
    """
    if x.device.type not in _library.loaded():
        return edge_dot_reference(graph, x, y)
    schedule = _library.schedule_of(graph)
    return torch.ops.infgrand.edge_dot(
        graph.indptr, graph.indices, x.contiguous(), y.detach().contiguous(), schedule
    )


def edge_dot_reference(graph: CSRGraph, x: Tensor, y: Tensor) -> Tensor:
    """`edge_dot` in plain torch, O(E·D) memory: the definition and the tests' oracle."""
    rows = torch.repeat_interleave(graph.row_lengths)
    return (x[rows] * y.detach()[graph.indices.long()]).sum(dim=1)


def _fake(
    indptr: Tensor, indices: Tensor, x: Tensor, y: Tensor, schedule: Tensor | None = None
) -> Tensor:
    return x.new_empty(indices.shape[0])


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Rows of y summed with the gradients of the edges as their values."""
    indptr, indices, _, y, schedule = ctx.saved_tensors
    if ctx.needs_input_grad[3]:
        raise RuntimeError("infgrand::edge_dot: y is not differentiable")
    values = grad.contiguous()
    dx = torch.ops.infgrand.spmm(indptr, indices, y, None, None, 0.0, values, schedule)
    return None, None, dx, None, None


if "cpu" in _library.loaded():
    torch.library.register_fake("infgrand::edge_dot", _fake)
    torch.library.register_autograd("infgrand::edge_dot", _backward, setup_context=_setup_context)
