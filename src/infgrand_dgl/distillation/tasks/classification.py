r"""One class of each node: cross-entropy, and the KL divergence of categorical distributions.

With $p_i = \sigma(h^s_i/\tau)$ of the student and $q_j = \sigma(h^t_j/\tau)$ of the teacher:

    forward:  Σ_ij a_ij KL(q_j ‖ p_i) = const - Σ_i T_i·log p_i,   T_i = Σ_j a_ij q_j
    reverse:  Σ_ij a_ij KL(p_i ‖ q_j) = Σ_i [ w_i p_i·log p_i - p_i·U_i ],
              U_i = Σ_j a_ij log q_j,  w_i = Σ_j a_ij

The constant of node i, $\sum_j a_{ij}\,q_j\cdot\log q_j$, or $w_i$, is its `own` term.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import cross_entropy

from ...config.schema import Config
from ...data.dataset import UNLABELLED, NodeDataset
from ...system.arrays import blocks
from ..class_weights import class_weights
from .task import BLOCK_ROWS, Aggregate, Divergence, LearningTask, collapsed


class Classification(LearningTask):
    """Cross-entropy of logits `[n, C]` and labels int64 `[n]`, by the weight of their class."""

    none = UNLABELLED

    def __init__(self, config: Config, view: NodeDataset, device: torch.device) -> None:
        weights = class_weights(config, view)
        self.weights = None if weights is None else weights.to(device)

    def errors(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(
            outputs, labels, self.weights, reduction="none", ignore_index=UNLABELLED
        )

    def total(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(outputs, labels, self.weights, reduction="sum")

    def mean(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Not divided by the batch's weights, which a batch of few classes would make uneven."""
        if self.weights is None:
            return cross_entropy(outputs, labels)
        return super().mean(outputs, labels)


class Categorical(Divergence):
    r"""$\mathrm{KL}(q_j \| p_i)$ (`kl="forward"`) or $\mathrm{KL}(p_i \| q_j)$ (`"reverse"`)."""

    task = "classification"
    edge_op = True

    def collapse(
        self,
        logits: Tensor,
        aggregate: Aggregate,
        dtype: torch.dtype,
        columns: int,
        out: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        forward = self.kl == "forward"
        normalizer = torch.cat(
            [(z.to(dtype) / self.tau).logsumexp(1, True) for _, z in blocks(logits, BLOCK_ROWS)]
        )
        targets = out if out is not None else logits.new_empty(logits.shape, dtype=dtype)
        own = torch.zeros_like(normalizer) if forward else torch.ones_like(normalizer)

        def term(part: slice, _: slice, z: Tensor) -> Tensor:
            log_q = torch.div(z, self.tau).sub_(normalizer[part])
            if not forward:
                return log_q
            q = log_q.exp()
            own[part] += torch.linalg.vecdot(q, log_q)[:, None]
            return q

        collapsed(logits, aggregate, term, dtype, columns, targets)
        return targets, aggregate(own)

    def of_nodes(self, outputs: Tensor, targets: Tensor, own: Tensor) -> Tensor:
        scaled = outputs / self.tau
        if self.kl == "reverse":
            return _CollapsedReverse.apply(scaled, own, targets)
        return own.sum() - (targets * scaled.log_softmax(dim=1)).sum()

    def readable(self, outputs: Tensor) -> Tensor:
        """Of probabilities the logarithms."""
        return (outputs / self.tau).log_softmax(dim=1)

    def along_edges(self, g: Any, teacher: Tensor, student: Tensor) -> None:
        kl_along_edges(g, teacher, student, self.kl)


def kl_along_edges(g: Any, log_q: Tensor, log_p: Tensor, kl: str) -> None:
    """KL divergences of edges, from logarithms of probabilities `[N, C]`."""
    from ...graph.dgl_bridge import dgl

    fn, q, p = dgl.function, log_q.exp(), log_p.exp()
    g.ndata.update({"log_q": log_q, "q": q, "log_p": log_p, "p": p})
    if kl == "forward":  # q_j·log q_j - q_j·log p_i
        g.ndata["own"] = (q * log_q).sum(dim=1, keepdim=True)
        g.apply_edges(fn.u_dot_v("q", "log_p", "cross"))
        g.apply_edges(fn.u_sub_e("own", "cross", "D"))
    else:  # p_i·log p_i - log q_j·p_i
        g.ndata["own"] = (p * log_p).sum(dim=1, keepdim=True)
        g.apply_edges(fn.u_dot_v("log_q", "p", "cross"))
        g.apply_edges(fn.v_sub_e("own", "cross", "D"))


class _CollapsedReverse(torch.autograd.Function):
    r"""$\sum_i p_i\cdot g_i$, $g_i = w_i \log p_i - U_i$, with the gradient
    $p_i\circ(g_i - p_i\cdot g_i)$ in the logits: half of the passes that autograd takes."""

    @staticmethod
    def forward(ctx: Any, scaled: Tensor, w: Tensor, U: Tensor) -> Tensor:
        log_p = scaled.log_softmax(dim=1)
        p = log_p.exp()
        per_class = log_p.mul_(w).sub_(U).mul_(p)
        per_node = per_class.sum(dim=1, keepdim=True)
        ctx.save_for_backward(per_class.addcmul_(p, per_node, value=-1))
        return per_node.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad * ctx.saved_tensors[0], None, None
