r"""Several labels of each node, 0 or 1, NaN where it is not known: binary cross-entropy, and the
mean over the labels of the KL divergence of Bernoulli distributions.

With $s_i = h^s_i/\tau$ and $z_j = h^t_j/\tau$, $p_i = \sigma(s_i)$ and $q_j = \sigma(z_j)$ of every
label, $\mathrm{sp}(x) = \log(1 + e^x)$ and $w_i = \sum_j a_{ij}$:

    KL(q ‖ p) = sp(s) - q s - H(q)            H(q) = sp(z) - q z, the entropy
    KL(p ‖ q) = p s - sp(s) - p z + sp(z)

so that, each as a mean over the labels,

    forward:  Σ_ij a_ij KL(q_j ‖ p_i) = Σ_i [ w_i sp(s_i) - T_i s_i - Σ_j a_ij H(q_j) ],
              T_i = Σ_j a_ij q_j
    reverse:  Σ_ij a_ij KL(p_i ‖ q_j) = Σ_i [ p_i (w_i s_i - U_i) - w_i sp(s_i) + v_i ],
              U_i = Σ_j a_ij z_j,  v_i = Σ_j a_ij sp(z_j)

The `own` terms of node i are $w_i$ and the last one, which the student has no part in.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from ...config.schema import Config
from ...data.dataset import NodeDataset
from .classification import kl_along_edges
from .task import Aggregate, Divergence, LearningTask, collapsed


class Multilabel(LearningTask):
    """Binary cross-entropy of logits `[n, C]` and labels `[n, C]`.

    Balanced weights take each label for a task of two classes: of the nodes where it is known,
    those with it weigh as much in all as those without, and 1 on average.
    """

    none = torch.nan

    def __init__(self, config: Config, view: NodeDataset, device: torch.device) -> None:
        labels = view.labels[view.train]
        self.known_per_node = float((~labels.isnan()).sum()) / max(1, len(labels))
        self.weights: Tensor | None = None
        if config.train.class_weights == "balanced":
            counts = torch.stack([(labels == value).sum(dim=0) for value in (0, 1)])
            weights = counts.sum(dim=0) / ((counts > 0).sum(dim=0) * counts)
            self.weights = weights.nan_to_num(posinf=0.0).to(device)

    def errors(self, outputs: Tensor, labels: Tensor) -> Tensor:
        known, y = ~labels.isnan(), labels.nan_to_num().to(outputs.dtype)
        weights = known.to(outputs.dtype)
        if self.weights is not None:
            weights = weights * torch.where(y > 0, self.weights[1], self.weights[0])
        bce = binary_cross_entropy_with_logits(outputs, y, weights, reduction="none")
        return bce.sum(dim=1) / self.known_per_node


def softplus(x: Tensor) -> Tensor:
    """log(1 + e^x), to the last digit. (torch's softplus is x itself from 20 on.)"""
    return -logsigmoid(-x)


class Bernoulli(Divergence):
    r"""$\mathrm{KL}(q_j \| p_i)$ (`kl="forward"`) or $\mathrm{KL}(p_i \| q_j)$ (`"reverse"`), mean
    over the labels."""

    task = "multilabel"

    def collapse(
        self,
        logits: Tensor,
        aggregate: Aggregate,
        dtype: torch.dtype,
        columns: int,
        out: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        (N, C), forward = logits.shape, self.kl == "forward"
        targets = out if out is not None else logits.new_empty(N, C, dtype=dtype)
        own = logits.new_zeros(N, 2, dtype=dtype)
        own[:, 0] = 1

        def term(part: slice, _: slice, z: Tensor) -> Tensor:
            z = z / self.tau
            q = z.sigmoid()
            own[part, 1] += (-_entropy(z, q) if forward else softplus(z)).sum(dim=1) / C
            return q if forward else z

        collapsed(logits, aggregate, term, dtype, columns, targets)
        return targets, aggregate(own)

    def of_nodes(self, outputs: Tensor, targets: Tensor, own: Tensor) -> Tensor:
        s, (w, last) = outputs / self.tau, own.split(1, dim=1)
        if self.kl == "forward":
            per_label = w * softplus(s) - targets * s
        else:
            per_label = s.sigmoid() * (w * s - targets) - w * softplus(s)
        return per_label.sum() / outputs.shape[1] + last.sum()

    def readable(self, outputs: Tensor) -> Tensor:
        """Logarithms of the probabilities of 1 and of 0, `[N, 2C]`."""
        scaled = outputs / self.tau
        return torch.cat([logsigmoid(scaled), logsigmoid(-scaled)], dim=1)

    def along_edges(self, g: Any, teacher: Tensor, student: Tensor) -> None:
        """A Bernoulli distribution is a categorical one of two classes."""
        kl_along_edges(g, teacher, student, self.kl)
        g.edata["D"] = g.edata["D"] / (teacher.shape[1] // 2)


def _entropy(z: Tensor, q: Tensor) -> Tensor:
    r"""$-q\log q - (1 - q)\log(1 - q)$, without differences of large numbers."""
    return -(q * logsigmoid(z) + (-z).sigmoid() * logsigmoid(-z))
