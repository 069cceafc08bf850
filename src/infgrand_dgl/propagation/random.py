r"""Random propagation (Feng et al., NeurIPS 2020: "Random Propagation", with its DropNode).

A view of $\tilde X$ is what propagation makes of features where whole nodes are masked:

$$\bar X_s = \mathrm{POOL}(\{\tilde A^p (m_s \odot X)\}_{p=0}^P),\qquad
  m_{s,i} \sim \mathrm{Bernoulli}(1 - \delta)$$

Its expectation under mean pooling is $(1 - \delta)\tilde X$, which is what the student is served.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..graph.csr import CSRGraph
from ..ops import propagate
from .equation import Propagation


@dataclass(frozen=True)
class MaskedPropagation(Propagation):
    r"""$\mathrm{POOL}(\{\tilde A^p (m \odot X)\}_{p=0}^P)$, $m$ a mask `[N]`; pooled it must be."""

    mask: Tensor = field(kw_only=True)

    def of(self, csr: CSRGraph, x: Tensor) -> Tensor:
        assert self.pooling is not None
        return propagate(
            csr,
            x,
            hops=self.hops,
            pooling=self.pooling,
            self_loop_weight=self.self_loop_weight,
            mask=self.mask.to(x.device),
        )


def node_mask(count: int, delta: float, seed: int, number: int) -> Tensor:
    r"""$m_{s,i} \sim \mathrm{Bernoulli}(1 - \delta)$, bool `[N]` on the CPU.

    Seed and number decide it, not what was drawn before: a training that goes on from a checkpoint,
    and every one of several processes, draws the same.
    """
    return torch.rand(count, generator=_generator(seed, number, 0)) >= delta


def drawn_views(stored: int, views: int, seed: int, epoch: int) -> list[int]:
    """Which S of the R stored views an epoch takes, all of them equally likely."""
    return torch.randperm(stored, generator=_generator(seed, epoch, 1))[:views].tolist()


def _generator(*numbers: int) -> torch.Generator:
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)
