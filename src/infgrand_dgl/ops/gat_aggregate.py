r"""Attention and aggregation of a GAT layer in one op (Veličković et al., 2018).

$$y_i = \sum_{j \in \mathrm{row}\,i} m_{ij}\,\alpha_{ij}\,x_j,\qquad
  \alpha_i = \mathrm{softmax}_j(\mathrm{LeakyReLU}(s_j + t_i))$$

for every head, with $m$ the mask of the attention's dropout. Forward and backward keep O(N) numbers
per head and none per edge: the backward pass computes $\alpha$ again from the logarithm of the
softmax's denominator, and $m$ from a hash of (seed, i, j, head).
"""

from typing import Any

import torch
from torch import Tensor

from ..graph.csr import CSRGraph
from . import _library


def gat_aggregate(
    graph: CSRGraph,
    x: Tensor,
    source: Tensor,
    target: Tensor,
    *,
    slope: float = 0.2,
    dropout: float = 0.0,
    seed: int = 0,
) -> Tensor:
    r"""$y_i = \sum_j m_{ij} \alpha_{ij} x_j$, $\alpha_i = \mathrm{softmax}_j(
    \mathrm{LeakyReLU}(s_j + t_i))$.

    Args:
        graph: row i holds the neighbours j, `[N, M]`, on the device of `x`.
        x: `[M, H, F]`, float32 or float64: H heads of F features. Differentiable.
        source: $s$, `[M, H]`, dtype of `x`. Differentiable.
        target: $t$, `[N, H]`, dtype of `x`. Differentiable.
        slope: of the LeakyReLU below 0.
        dropout: the probability, in [0, 1), that $\alpha_{ij}$ of a head is dropped; the others
            are scaled by 1 / (1 - dropout).
        seed: of the mask. Parallel edges share a mask.

    Returns:
        `[N, H, F]`, dtype of `x`; 0 for a row without neighbours. Bitwise the same for any number
        of threads.
    """
    if x.device.type not in _library.loaded():
        return gat_aggregate_reference(
            graph, x, source, target, slope=slope, dropout=dropout, seed=seed
        )
    differentiable = any(t.requires_grad for t in (x, source, target))
    back = graph.transposed if differentiable else None
    y, _ = torch.ops.infgrand.gat_aggregate(
        graph.indptr,
        graph.indices,
        x.contiguous(),
        source.contiguous(),
        target.contiguous(),
        slope,
        dropout,
        seed,
        _library.schedule_of(graph),
        back.indptr if back else None,
        back.indices if back else None,
        _library.schedule_of(back) if back else None,
    )
    return y


def gat_aggregate_reference(
    graph: CSRGraph,
    x: Tensor,
    source: Tensor,
    target: Tensor,
    *,
    slope: float = 0.2,
    dropout: float = 0.0,
    seed: int = 0,
) -> Tensor:
    """`gat_aggregate` in plain torch, O(E·H·F) memory: the definition and the tests' oracle."""
    i, j = torch.repeat_interleave(graph.row_lengths), graph.indices.long()
    scores = torch.nn.functional.leaky_relu(source[j] + target[i], slope)
    index = i[:, None].expand_as(scores)
    largest = scores.new_full(target.shape, -torch.inf)
    largest = largest.scatter_reduce(0, index, scores.detach(), "amax")
    exponentials = (scores - largest[i]).exp()
    total = torch.zeros_like(target).index_add(0, i, exponentials)
    alpha = exponentials / total[i] * dropout_mask(i, j, source.shape[1], dropout, seed).to(x)
    y = x.new_zeros(graph.num_rows, *x.shape[1:])
    return y.index_add(0, i, alpha[:, :, None] * x[j])


def dropout_mask(i: Tensor, j: Tensor, heads: int, dropout: float, seed: int) -> Tensor:
    """0 or 1 / (1 - dropout) for each edge (i, j) and head, float64 `[E, H]`: csrc/attention.h."""

    def shift_right(z: Tensor, bits: int) -> Tensor:  # of an unsigned number
        return (z >> bits) & ((1 << (64 - bits)) - 1)

    def signed(z: int) -> int:
        z %= 1 << 64
        return z - (1 << 64) if z >> 63 else z

    edge = ((i << 32) | j)[:, None] * heads + torch.arange(heads, device=i.device)
    z = (edge + 1) * signed(0x9E3779B97F4A7C15) + signed(seed)
    z = (z ^ shift_right(z, 30)) * signed(0xBF58476D1CE4E5B9)
    z = (z ^ shift_right(z, 27)) * signed(0x94D049BB133111EB)
    drawn = shift_right(z ^ shift_right(z, 31), 40)
    return (drawn >= int(dropout * (1 << 24))).double() / (1 - dropout)


def _fake(
    indptr: Tensor,
    indices: Tensor,
    x: Tensor,
    source: Tensor,
    target: Tensor,
    slope: float,
    dropout: float,
    seed: int,
    schedule: Tensor | None = None,
    indptr_t: Tensor | None = None,
    indices_t: Tensor | None = None,
    schedule_t: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    rows = indptr.shape[0] - 1
    return x.new_empty(rows, *x.shape[1:]), x.new_empty(rows, x.shape[1])


def _fake_backward(
    indptr: Tensor,
    indices: Tensor,
    own: Tensor,
    other: Tensor,
    source: Tensor,
    target: Tensor,
    normalizer: Tensor,
    delta: Tensor,
    slope: float,
    dropout: float,
    seed: int,
    transposed: bool,
    schedule: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    out = torch.empty_like(own) if transposed else own.new_empty(0, *own.shape[1:])
    return own.new_empty(own.shape[:2]), out


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.settings = inputs[5:8]
    ctx.save_for_backward(*inputs[:5], *inputs[8:], *output)
    ctx.mark_non_differentiable(output[1])


def _backward(ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    """Once over the neighbours of every target, once over those of every source."""
    indptr, indices, x, source, target, schedule, *transposed, y, normalizer = ctx.saved_tensors
    indptr_t, indices_t, schedule_t = transposed
    if indptr_t is None or indices_t is None:
        raise RuntimeError(
            "infgrand::gat_aggregate: the backward pass needs indptr_t and indices_t"
        )
    grad = grad.contiguous()
    constants = (source, target, normalizer, (grad * y).sum(dim=2), *ctx.settings)
    backward = torch.ops.infgrand.gat_aggregate_backward
    d_target, _ = backward(indptr, indices, grad, x, *constants, False, schedule)
    d_source, dx = backward(indptr_t, indices_t, x, grad, *constants, True, schedule_t)
    return (None, None, dx, d_source, d_target, *[None] * 7)


if "cpu" in _library.loaded():
    torch.library.register_fake("infgrand::gat_aggregate", _fake)
    torch.library.register_fake("infgrand::gat_aggregate_backward", _fake_backward)
    torch.library.register_autograd(
        "infgrand::gat_aggregate", _backward, setup_context=_setup_context
    )
