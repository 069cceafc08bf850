r"""A loss over edges that are chosen, or weighted, anew from epoch to epoch. It still collapses:

$$L_d = \sum_{(i,j)} v_{ij}\,\mathrm{KL}(q_j \| p_i)
      = \mathrm{const} - \sum_i T_i\cdot\log p_i,\qquad T_i = \sum_j v_{ij}\,q_j$$

so an epoch's targets are one product over the graph, whose entries have the values v of that epoch.
(With zeros for the edges that are not chosen the product is faster than cutting them out first.)
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..ops import spmm
from ..system.arrays import blocks
from ..system.kept import kept
from .objective import Lesson, distillation_loss

ENTROPY_ROWS = 1 << 16  # of logits that are looked at together


class EdgeTargets:
    r"""Targets of students of their neighbours' soft labels, on the graph that training sees.

    Attributes:
        loss: $L_d$ over all edges, self-loops among them: their mean, by their weights. Its targets
            are overwritten by those of other values.
        graph: one self-loop per node, on the device of the targets.
        rows, loops: the row of every entry, int32 `[E]`, and the entries that are self-loops, by
            node, int64 `[N]`.
        weights: of the edges, float32 `[E]`; 1 where the graph has none.
    """

    def __init__(self, lesson: Lesson) -> None:
        assert lesson.logits is not None
        csr = lesson.view.csr
        self.uniform = torch.zeros(csr.num_rows)
        self.loss = distillation_loss(
            lesson,
            csr,
            self.uniform,
            gamma1=1.0,
            gamma2=0.0,
            kl="forward",
            edge_weighting="edges",
            form="collapsed",
        )
        device = self.loss.targets.device
        self.graph, self.logits = kept(csr, device), lesson.logits.to(device)
        nodes = torch.arange(csr.num_rows, dtype=torch.int32, device=device)
        self.rows = nodes.repeat_interleave(self.graph.row_lengths, output_size=csr.num_edges)
        self.loops = (self.rows == self.graph.indices).nonzero().squeeze(1)
        given = self.graph.weights
        self.weights = torch.ones(csr.num_edges, device=device) if given is None else given
        self.seed = lesson.seed

    def of(self, values: Tensor) -> dict[str, Tensor]:
        """The rows `targets` and `own` for the values v of the edges, float32 `[E]`."""
        targets, own = self.loss.divergence.collapse(
            self.logits,
            lambda x: spmm(self.graph, x, values=values.to(x.dtype)),
            self.loss.targets.dtype,
            self.loss.columns,
            self.loss.targets,
        )
        return {"targets": targets, "own": own}

    def row_sums(self, values: Tensor) -> Tensor:
        """Of values of the edges, `[E]`, the sum of each row, `[N]`."""
        ones = values.new_ones(self.graph.num_cols, 1)
        return spmm(self.graph, ones, values=values).squeeze(1)

    def sampled(self, probability: Tensor, random: np.random.Generator) -> Tensor:
        """The weights of edges that are kept with a probability, `[E]`, and 0 of the others; all
        self-loops are kept."""
        drawn = torch.from_numpy(random.random(len(probability), np.float32))
        chosen = drawn.to(probability.device) < probability
        chosen[self.loops] = True
        return self.weights * chosen

    def random(self, epoch: int) -> np.random.Generator:
        """Of an epoch: the same on every process and device, whatever was drawn before."""
        return np.random.default_rng([self.seed, epoch])


def entropies(logits: Tensor) -> Tensor:
    """Of the distributions of logits `[N, C]`, in nats, float64 `[N]`."""
    parts = []
    for _, z in blocks(logits, ENTROPY_ROWS):
        log_p = z.double().log_softmax(dim=1)
        parts.append(-torch.linalg.vecdot(log_p.exp(), log_p))
    return torch.cat(parts)
