r"""FF-G2M (Wu et al., AAAI 2023: "Extracting Low-/High-Frequency Knowledge from Graph Neural
Networks and Injecting It into MLPs: An Effective GNN-to-MLP Distillation Framework").

$$L = \lambda\,\mathrm{mean_L}(CE) + (1 - \lambda)\Bigl[
  \mathrm{mean}_{(i,j)\in E^\circ}\,\mathrm{KL}(\sigma(h^t_j) \| \sigma(h^s_i)) +
  \mathrm{mean}_{(i,j)\in E}\,\mathrm{KL}\bigl(\sigma(|h^t_i - h^t_j|/\tau) \,\|\,
  \sigma(|h^s_i - h^s_j|/\tau)\bigr)\Bigr]$$

The first term, of low frequencies (eq. 9), goes over edges and self-loops and has no temperature:
it is InfGraND's with even weights, and collapses. The second, of high frequencies (eq. 11), goes
over edges alone and does not collapse (`distillation.differences`): it takes all nodes in one step
of one process. The paper sums over the neighbours of each node; this is the code's mean over edges,
on logits. Its code gives the teacher `dropout_s` and the student `dropout_t`: the shipped
experiments have them in their places. An edge's weight is how often it counts, in both terms.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ...registry import SKY, Method, methods
from ...system.kept import kept
from ..differences import EdgeDifferences
from ..loss import DistillationLoss
from ..objective import Lesson, Objective, distillation_loss, distilling


class BothFrequencies:
    """The sum of the two terms."""

    form = "collapsed"  # what `low` reads of each node

    def __init__(self, low: DistillationLoss, high: EdgeDifferences) -> None:
        self.low, self.high, self.per_node = low, high, low.per_node

    def __call__(self, student_logits: Tensor, *per_node: Tensor) -> Tensor:
        return self.low(student_logits, *per_node) + self.high(student_logits)


def ffg2m(lesson: Lesson) -> Objective:
    """The loss of all nodes together."""
    assert lesson.logits is not None
    csr, device = lesson.view.csr, lesson.runtime.device
    even = torch.zeros(csr.num_rows)
    low = distillation_loss(
        lesson,
        csr,
        even,
        gamma1=1.0,
        gamma2=0.0,
        kl="forward",
        edge_weighting="edges",
        tau=1.0,
        form="collapsed",
    )
    tau = lesson.config.distillation.tau
    high = EdgeDifferences(kept(csr, device), lesson.logits.to(device), tau)
    made = distilling(lesson, BothFrequencies(low, high), even, 1.0, 0.0)
    return replace(made, all_at_once="method: ffg2m")


methods.add(
    Method(
        "ffg2m",
        label="FF-G2M",
        color=SKY,
        marker="v",
        place=3,
        objective=ffg2m,
        settings=frozenset({"lambda_", "tau"}),
        all_at_once=True,
    )
)
