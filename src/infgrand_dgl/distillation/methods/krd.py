r"""KRD (Wu et al., ICML 2023: "Quantifying the Knowledge in GNNs for Reliable Distillation into
MLPs").

$$L = \lambda\,\mathrm{mean_L}(CE) + (1 - \lambda)\,
  \mathrm{mean}_{(i,j)\in S}\,\mathrm{KL}(\sigma(h^t_j/\tau) \| \sigma(h^s_i/\tau))$$

Up to epoch `krd.warm_up` S is all edges and self-loops; then, drawn anew every `krd.every` epochs,
all self-loops and each edge (i, j) with probability $1 - \rho_j^\alpha$: a neighbour counts by how
reliable its knowledge is. Its unreliability (eq. 4) is how much noise in the features moves the
entropy of the teacher, $\rho_j = |H(\sigma(h^t_j(X + \epsilon))) - H(\sigma(h^t_j(X)))|$ over the
largest of all nodes. The power $\alpha$ follows the student (eq. 6): at each draw
$\alpha \leftarrow m\,\alpha + (1 - m)\,\hat\alpha$, where $1 - x^{\hat\alpha}$ fits the share of
nodes whose student agrees with the teacher, by bins of ρ.

Where paper and code disagree, this is the code: one draw of noise, not its expectation; the shares
are scaled to [0, 1], with 0 for an empty bin, and fitted at 0.05 beyond the left edges of the 50
bins (half a bin would be 0.01). Entropies have no temperature, in nats. The code samples from epoch
50 on, with a GCN teacher from 51 on. An edge's weight is how often it counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from scipy.optimize import least_squares
from torch import Tensor, nn

from ...registry import AMBER, Method, methods
from ..objective import Lesson, Objective, Rows, distilling
from ..sampled import EdgeTargets, entropies

BINS, BEYOND = 50, 0.05
POWERS = 1e-3, 1e3  # α̂ is sought between


def krd(lesson: Lesson) -> Objective:
    """The loss over the edges of the last draw."""
    settings, edges = lesson.config.krd, EdgeTargets(lesson)
    assert lesson.perturbed is not None
    rho = unreliability(edges.logits, lesson.perturbed)
    classes, power = edges.logits.argmax(dim=1), Power(settings.power)
    drawn_in = 0

    def renewed(epoch: int, logits_of_rows: Callable[[], Tensor]) -> Rows:
        nonlocal drawn_in
        late = (epoch - settings.warm_up - 1) % settings.every
        if epoch <= settings.warm_up or (late and drawn_in == epoch - late):
            return {}
        if not late:
            agrees = logits_of_rows().argmax(dim=1).to(classes.device) == classes
            power.follow(rho, agrees, settings.momentum)
        drawn_in = epoch - late  # going on from a checkpoint: as it was drawn then
        probability = (1 - rho ** power.value.to(rho.device)).float()
        along = probability.index_select(0, edges.graph.indices)
        values = edges.sampled(along, edges.random(drawn_in))
        return edges.of(values / values.sum())

    made = distilling(lesson, edges.loss, edges.uniform, 1.0, 0.0)
    return replace(made, renewed=renewed, module=power)


def unreliability(logits: Tensor, perturbed: Tensor) -> Tensor:
    r"""ρ of the nodes, float64 `[N]` in [0, 1], from the teacher's logits `[N, C]` of X and of
    X + ε."""
    change = (entropies(perturbed).to(logits.device) - entropies(logits)).abs()
    return change / change.max().clamp(min=torch.finfo(change.dtype).tiny)


class Power(nn.Module):
    r"""α, which checkpoints keep."""

    value: Tensor

    def __init__(self, value: float) -> None:
        super().__init__()
        self.register_buffer("value", torch.tensor(value, dtype=torch.float64))

    def follow(self, rho: Tensor, agrees: Tensor, momentum: float) -> None:
        """α ← m·α + (1 - m)·α̂, where α̂ is defined.

        Args:
            rho: float64 `[N]`.
            agrees: whether the student's class is the teacher's, bool `[N]`.
        """
        power = float(self.value)
        fitted = fit(rho.cpu().numpy(), agrees.cpu().numpy(), power)
        if fitted is not None:
            self.value.fill_(momentum * power + (1 - momentum) * fitted)


def fit(rho: np.ndarray, agrees: np.ndarray, start: float) -> float | None:
    r"""$\hat\alpha$, by least squares from `start`; None where the shares of all bins are one."""
    alike, all_ = (np.histogram(x, BINS, (0, 1))[0] for x in (rho[agrees], rho))
    share = alike / (all_ + 1e-6)
    low, high = share.min(), share.max()
    if low == high:
        return None
    x, y = np.arange(BINS) / BINS + BEYOND, (share - low) / (high - low)
    found = least_squares(lambda a: 1 - x**a - y, np.clip(start, *POWERS), bounds=POWERS)
    return float(found.x[0])


methods.add(
    Method(
        "krd",
        label="KRD",
        color=AMBER,
        marker="P",
        place=4,
        objective=krd,
        settings=frozenset({"lambda_", "tau"}),
        sections=("krd",),
        teacher=frozenset({"perturbed"}),
    )
)
