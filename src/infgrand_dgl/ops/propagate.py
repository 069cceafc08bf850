r"""Propagation and pooling in one op.

$$X^{(k)} = \tilde A\,X^{(k-1)},\quad \tilde A = S^{-1/2}(A + wI)\,S^{-1/2},\quad
  \tilde X = \mathrm{POOL}(\{X^{(0)}, \dots, X^{(P)}\})$$

with $A$ the weights of the edges, 1 where the graph has none, and $S$ the row sums of $A + wI$.
$X^{(0)}$ is $X$, or $m \odot X$ under a mask of nodes.
Each hop is one `spmm` that pools its rows while they are in registers.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor

from ..graph.csr import CSRGraph
from . import _library
from .spmm import edge_values, spmm

Pooling = Literal["mean", "max", "min", "last"]


def propagate(
    graph: CSRGraph,
    x: Tensor,
    *,
    hops: int,
    pooling: Pooling,
    self_loop_weight: float,
    mask: Tensor | None = None,
) -> Tensor:
    r"""$\tilde X = \mathrm{POOL}(\{X^{(0)}, \dots, X^{(P)}\})$.

    Beside `x` and the result it holds, whatever P, at most two buffers of their size on CUDA (of
    16-bit features three in float32) and three of 64 bytes a row on the CPU, where all hops are
    done for 16 float32 features at a time.

    Args:
        graph: square, one self-loop per node, on the device of `x`.
        x: $X$, `[N, D]`, float32, float64, bfloat16 or float16; the hops of 16-bit features and
            their pool are float32, rounded at the end. Differentiable but for max and min pooling.
        hops: P, 0 or more.
        pooling: "mean", "max" or "min", elementwise, or the "last" of them alone.
        self_loop_weight: w.
        mask: $m$, `[N]`, bool or of any type of numbers: $X^{(0)} = m \odot X$, read through the
            mask and nowhere stored. A constant: no gradient reaches it.

    Returns:
        `[N, D]`, dtype of `x`. Bitwise the same for any number of threads.
    """
    if hops == 0:
        return x.clone() if mask is None else _masked(x, mask).to(x.dtype)
    if x.device.type not in _library.loaded():
        return propagate_reference(
            graph, x, hops=hops, pooling=pooling, self_loop_weight=self_loop_weight, mask=mask
        )
    transposed = graph.transposed if x.requires_grad else None
    return torch.ops.infgrand.propagate(
        graph.indptr,
        graph.indices,
        x.contiguous(),
        inverse_sqrt_degree(graph, self_loop_weight, x.dtype),
        self_loop_weight - 1,
        hops,
        pooling,
        edge_values(graph, x.dtype),
        None if mask is None else _wide(mask, x).contiguous(),
        _library.schedule_of(graph),
        transposed.indptr if transposed else None,
        transposed.indices if transposed else None,
        edge_values(transposed, x.dtype) if transposed else None,
        _library.schedule_of(transposed) if transposed else None,
    )


def propagate_reference(
    graph: CSRGraph,
    x: Tensor,
    *,
    hops: int,
    pooling: Pooling,
    self_loop_weight: float,
    mask: Tensor | None = None,
) -> Tensor:
    """`propagate` as the equation reads: the tests' oracle and the fallback."""
    start = _wide(x, x) if mask is None else _masked(x, mask)
    steps = [start, *islice(propagation_steps(graph, start, self_loop_weight), hops)]
    return pooled(steps, pooling).to(x.dtype)


def pooled(steps: list[Tensor], pooling: Pooling) -> Tensor:
    """POOL of X^(0) to X^(P), `[N, D]` each."""
    if pooling == "last":
        return steps[-1]
    stack = torch.stack(steps)
    if pooling == "mean":
        return stack.mean(dim=0)
    return stack.amax(dim=0) if pooling == "max" else stack.amin(dim=0)


def _wide(t: Tensor, x: Tensor) -> Tensor:
    """In what a kernel accumulates `x` in."""
    return t.to(torch.promote_types(x.dtype, torch.float32))


def _masked(x: Tensor, mask: Tensor) -> Tensor:
    return _wide(mask, x)[:, None] * _wide(x, x)


def propagation_steps(graph: CSRGraph, x: Tensor, self_loop_weight: float) -> Iterator[Tensor]:
    r"""$X^{(1)}, X^{(2)}, \dots$ without end; `graph` holds one self-loop per node."""
    scale = inverse_sqrt_degree(graph, self_loop_weight, x.dtype)
    while True:
        x = spmm(graph, x, scale, scale, self_weight=self_loop_weight - 1)
        yield x


def inverse_sqrt_degree(graph: CSRGraph, self_loop_weight: float, dtype: torch.dtype) -> Tensor:
    r"""The diagonal of $S^{-1/2}$, `[N]`, at least float32; 0 for a node with nothing to sum."""
    scale = inverse_sqrt(graph.row_sums.double() + (self_loop_weight - 1))
    return scale.to(torch.promote_types(dtype, torch.float32))


def inverse_sqrt(degree: Tensor) -> Tensor:
    """0 of what is not above 0."""
    return torch.where(degree > 0, degree.rsqrt(), 0.0)


def _fake(
    indptr: Tensor,
    indices: Tensor,
    x: Tensor,
    scale: Tensor,
    self_weight: float,
    hops: int,
    pooling: str,
    values: Tensor | None = None,
    mask: Tensor | None = None,
    schedule: Tensor | None = None,
    indptr_t: Tensor | None = None,
    indices_t: Tensor | None = None,
    values_t: Tensor | None = None,
    schedule_t: Tensor | None = None,
) -> Tensor:
    return torch.empty_like(x)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, _, _, scale, *ctx.settings, values, mask, _, indptr_t, indices_t, values_t, schedule_t = (
        inputs
    )
    ctx.weighted = values is not None
    ctx.save_for_backward(scale, mask, indptr_t, indices_t, values_t, schedule_t)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """The mean and the last are linear: the same op over the transposed CSR, then the mask."""
    scale, mask, indptr_t, indices_t, values_t, schedule_t = ctx.saved_tensors
    self_weight, hops, pooling = ctx.settings
    if pooling not in ("mean", "last") or any(ctx.needs_input_grad[3:]):
        raise RuntimeError(
            "infgrand::propagate: only x is differentiable, and not under max or min pooling"
        )
    if indptr_t is None or indices_t is None or ctx.weighted != (values_t is not None):
        raise RuntimeError(
            "infgrand::propagate: the backward pass needs indptr_t, indices_t and values_t"
        )
    dx = torch.ops.infgrand.propagate(
        indptr_t,
        indices_t,
        grad.contiguous(),
        scale,
        self_weight,
        hops,
        pooling,
        values_t,
        None,
        schedule_t,
    )
    if mask is not None:
        dx = _masked(dx, mask).to(dx.dtype)
    return (None, None, dx, *[None] * 11)


if "cpu" in _library.loaded():
    torch.library.register_fake("infgrand::propagate", _fake)
    torch.library.register_autograd("infgrand::propagate", _backward, setup_context=_setup_context)
