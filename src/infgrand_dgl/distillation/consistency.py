r"""Consistency of a student between views (Feng et al., NeurIPS 2020, equations 5 to 7).

$$L_c = \frac{1}{S N} \sum_i [\max_c \bar p_{ic} > \theta] \sum_s \|p_{s,i} - t_i\|^2,\quad
  \bar p_i = \frac{1}{S} \sum_s p_{s,i},\quad
  t_{ic} = \bar p_{ic}^{1/T} \Big/ \sum_k \bar p_{ik}^{1/T}$$

with $p_s$ the student's probabilities in view s. The target $t$ is constant: no gradient passes it.
Threshold and warm-up, $\mu_t = \mu \min(1, t / W)$ in epoch t, are of GRAND+ (Feng et al., WWW
2022). The mean is over all nodes, as in that paper's text and in GRAND, where nothing is left out;
the code of GRAND+ takes it over the confident nodes, which is no sum over nodes.

Several labels of a node are Bernoulli distributions, of two classes each: the sum over classes is
over these two, the threshold is each label's own, and $L_c$ is the mean over the labels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..config.methods import ConsistencyConfig
from ..registry import Task


def probabilities(logits: Tensor, task: Task) -> Tensor:
    """Of logits `[..., C]` the distributions: of classes one of them, `[..., 1, C]`; of labels
    `[..., C, 2]`."""
    if task == "multilabel":
        return torch.stack([logits.sigmoid(), (-logits).sigmoid()], dim=-1)
    return logits.softmax(dim=-1)[..., None, :]


def sharpened(p: Tensor, temperature: float) -> Tensor:
    r"""$p_c^{1/T} / \sum_k p_k^{1/T}$, over the last dimension."""
    return (p.log() / temperature).softmax(dim=-1)


class Consistency:
    r"""$\mu_t\,L_c$.

    Args:
        count: N, over which the mean is taken.
        device: of the logits.

    Attributes:
        weight: $\mu_t$, on the device: what is computed there later finds it.
    """

    def __init__(
        self, config: ConsistencyConfig, task: Task, count: int, device: torch.device
    ) -> None:
        self.config, self.task, self.count = config, task, count
        self.weight = torch.tensor(config.weight, device=device)

    @property
    def grows(self) -> bool:
        r"""Whether $\mu_t$ changes by epochs."""
        return self.config.warm_up > 1

    def begin(self, epoch: int) -> None:
        r"""Sets $\mu_t = \mu \min(1, t / W)$, t from 1."""
        if self.grows:
            self.weight.fill_(self.config.weight * min(1.0, epoch / self.config.warm_up))

    def __call__(self, logits: Sequence[Tensor]) -> Tensor:
        """The part of $L_c$ that is some nodes', of their logits in each view, `[b, C]`."""
        p = probabilities(torch.stack(list(logits)), self.task)  # [S, b, K, C]
        mean = p.detach().mean(dim=0)
        confident = mean.amax(dim=-1) > self.config.threshold
        squares = (p - sharpened(mean, self.config.temperature)).square().sum(dim=-1)
        return (squares * confident).mean(dim=(0, 2)).sum() / self.count
