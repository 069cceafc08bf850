r"""Sparse-dense product over a CSR.

$$y_i = r_i\,\Bigl(\sum_{e = (i, j)} v_e\,c_j\,x_j + u\,c_i\,x_i\Bigr)$$

GCN and GraphSAGE aggregation, feature propagation and the distillation targets are all this one
product, with the weights of the graph as $v$ where it has some; sparse feature matrices and
gradients of edge values have values of their own.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..graph.csr import CSRGraph
from . import _library


def spmm(
    graph: CSRGraph,
    x: Tensor,
    row_scale: Tensor | None = None,
    col_scale: Tensor | None = None,
    self_weight: float = 0.0,
    *,
    values: Tensor | None = None,
) -> Tensor:
    r"""$y_i = r_i\,(\sum_{e = (i, j)} v_e c_j x_j + u\,c_i x_i)$.

    Args:
        graph: the rows, `[N, M]`, on the device of `x`.
        x: `[M, D]`, float32, float64, bfloat16 or float16; 16-bit types are accumulated in
            float32. Differentiable.
        row_scale: $r$, `[N]`; 1 where not given. float64 with a float64 `x`, else float32.
        col_scale: $c$, `[M]`; likewise.
        self_weight: $u$; row `i` of the result sees row `i` of `x` once more.
        values: $v$, `[E]`; the graph's weights where not given, 1 where it has none; likewise.
            Constants: no gradient reaches them.

    Returns:
        `[N, D]`, dtype of `x`. Bitwise the same for any number of threads.
    """
    if x.device.type not in _library.loaded():
        return spmm_reference(graph, x, row_scale, col_scale, self_weight, values=values)
    back, values_t = graph.transposed if x.requires_grad else None, None
    if back is not None:
        values_t = edge_values(back, x.dtype) if values is None else values[graph.transposition]
    return torch.ops.infgrand.spmm(
        graph.indptr,
        graph.indices,
        x.contiguous(),
        row_scale,
        col_scale,
        self_weight,
        edge_values(graph, x.dtype) if values is None else values,
        _library.schedule_of(graph),
        back.indptr if back else None,
        back.indices if back else None,
        values_t,
        _library.schedule_of(back) if back else None,
    )


def spmm_reference(
    graph: CSRGraph,
    x: Tensor,
    row_scale: Tensor | None = None,
    col_scale: Tensor | None = None,
    self_weight: float = 0.0,
    *,
    values: Tensor | None = None,
) -> Tensor:
    """`spmm` in plain torch: the definition, the tests' oracle and the fallback."""
    acc = torch.promote_types(x.dtype, torch.float32)
    if values is None:
        values = edge_values(graph, x.dtype)
    scaled = x.to(acc) if col_scale is None else col_scale[:, None] * x.to(acc)
    M = max(graph.num_cols, -(-graph.num_edges // max(1, graph.num_rows)))
    scaled = pad(scaled, (0, 0, 0, M - graph.num_cols))  # for cuSPARSE: no more entries than places
    A = torch.sparse_csr_tensor(
        graph.indptr,
        graph.indices.long(),
        torch.ones(graph.num_edges, dtype=acc, device=x.device) if values is None else values,
        (graph.num_rows, M),
    )
    y = A @ scaled
    if self_weight:
        loops = torch.zeros_like(y)
        n = min(graph.num_rows, graph.num_cols)
        loops[:n] = scaled[:n]
        y = y + self_weight * loops
    return (y if row_scale is None else row_scale[:, None] * y).to(x.dtype)


def edge_values(graph: CSRGraph, dtype: torch.dtype) -> Tensor | None:
    """The weights of a graph as a kernel reads them beside an operand of a dtype, `[E]`."""
    if graph.weights is None:
        return None
    return graph.weights.to(torch.promote_types(dtype, torch.float32))


def _fake(
    indptr: Tensor,
    indices: Tensor,
    x: Tensor,
    row_scale: Tensor | None,
    col_scale: Tensor | None,
    self_weight: float,
    values: Tensor | None = None,
    schedule: Tensor | None = None,
    indptr_t: Tensor | None = None,
    indices_t: Tensor | None = None,
    values_t: Tensor | None = None,
    schedule_t: Tensor | None = None,
) -> Tensor:
    return x.new_empty(indptr.shape[0] - 1, x.shape[1])


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    indptr, indices, _, row_scale, col_scale, self_weight, values, *others = inputs
    ctx.save_for_backward(indptr, indices, row_scale, col_scale, values, *others)
    ctx.self_weight = self_weight


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """The same product over the transposed CSR, with the two scales exchanged."""
    indptr, indices, row_scale, col_scale, values, schedule, *transposed = ctx.saved_tensors
    indptr_t, indices_t, values_t, schedule_t = transposed
    if any(ctx.needs_input_grad[3:]):
        raise RuntimeError("infgrand::spmm: row_scale, col_scale and values are not differentiable")
    if indptr_t is None or indices_t is None or (values is None) != (values_t is None):
        raise RuntimeError(
            "infgrand::spmm: the backward pass needs indptr_t, indices_t and values_t"
        )
    dx = torch.ops.infgrand.spmm(
        indptr_t,
        indices_t,
        grad.contiguous(),
        col_scale,
        row_scale,
        ctx.self_weight,
        values_t,
        schedule_t,
        indptr,
        indices,
        values,
        schedule,
    )
    return (None, None, dx, *[None] * 9)


if "cpu" in _library.loaded():
    torch.library.register_fake("infgrand::spmm", _fake)
    torch.library.register_autograd("infgrand::spmm", _backward, setup_context=_setup_context)
