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
from ..ops import Pooling, propagate, spmm
from ..ops.propagate import inverse_sqrt_degree
from .equation import Propagation


@torch.no_grad()
def propagate_masked(
    graph: CSRGraph,
    x: Tensor,
    mask: Tensor,
    *,
    hops: int,
    pooling: Pooling,
    self_loop_weight: float,
) -> Tensor:
    r"""$\mathrm{POOL}(\{\tilde A^p (m \odot X)\}_{p=0}^P)$, or the last of them alone.

    The mask is the column scale of the first product, which reads $X$ itself; what is left are
    P - 1 hops of its result $Y$, since $\tilde A^p (m \odot X) = \tilde A^{p-1} Y$. Of the mean

    $$\bar X = \frac{m \odot X + P\,\mathrm{mean}(\{\tilde A^p Y\}_{p=0}^{P-1})}{P + 1}.$$

    Args:
        graph: square, one self-loop per node, on the device of `x`.
        x: $X$, float32 or float64 `[N, D]`.
        mask: $m$, `[N]`, of any type of numbers or bool.
        hops, pooling, self_loop_weight: as of `ops.propagate`.

    Returns:
        `[N, D]`, dtype of `x`.
    """
    m = mask.to(x.dtype)
    if hops == 0:
        return m[:, None] * x
    scale = inverse_sqrt_degree(graph, self_loop_weight, x.dtype)
    y = spmm(graph, x, scale, scale * m, self_weight=self_loop_weight - 1)
    if hops > 1:
        y = propagate(graph, y, hops=hops - 1, pooling=pooling, self_loop_weight=self_loop_weight)
    if pooling == "last":
        return y
    if pooling == "mean":
        return y.mul_(hops / (hops + 1)).addcmul_(m[:, None], x, value=1 / (hops + 1))
    return (torch.maximum if pooling == "max" else torch.minimum)(y, m[:, None] * x)


@dataclass(frozen=True)
class MaskedPropagation(Propagation):
    """Of the nodes that a mask keeps, `[N]`."""

    mask: Tensor = field(kw_only=True)

    def of(self, csr: CSRGraph, x: Tensor) -> Tensor:
        assert self.pooling is not None
        return propagate_masked(
            csr,
            x,
            self.mask.to(x.device),
            hops=self.hops,
            pooling=self.pooling,
            self_loop_weight=self.self_loop_weight,
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
