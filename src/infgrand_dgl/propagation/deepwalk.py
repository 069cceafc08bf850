r"""DeepWalk (Perozzi et al., KDD 2014): positions of nodes in a graph, of its edges alone.

Skip-gram over random walks (`walks`) by negative sampling (Mikolov et al., NeurIPS 2013, eq. 4),
which minimises over all walks $u$ and places $i \ne j$ in them, at most a window $w$ apart,

$$-\sum_{i,j} W_{ij} \Big( \log \sigma(c_{u_i} \cdot o_{u_j})
  + k\,\mathrm{E}_{v \sim P} \log \sigma(-c_{u_i} \cdot o_v) \Big),\quad
  W_{ij} = (w - |i - j| + 1) / w,\quad P(v) \propto d_v^{3/4}$$

with $k$ = `NEGATIVES`. The positions are the $c$. $W_{ij}$ is the share of word2vec's windows,
whose width is drawn of 1 to $w$, that have both; $d_v$, the sum of a node's weights, is what its
frequency on long walks is proportional to.

DeepWalk's code, and NOSMOG's, take hierarchical softmax, by gensim. Here it is negative sampling:
the walks of a batch are then a few matrix products, on a GPU too, and repeat to the bit on a CPU.
(gensim repeats itself on one thread alone, and is 28 MB that nothing else needs. On Cora and
Citeseer a linear classifier does as well on these positions as on gensim's of either kind.)
All walks of a batch share `SHARED` draws of $v$, each with the weight $k$/`SHARED` (Ji et al.,
2016, "Parallelizing word2vec in shared and distributed memory"): the expectation is the same. Rows
take steps of Adagrad with one sum of squares a row (Lerer et al., MLSys 2019, "PyTorch-BigGraph"),
so that hubs, which a batch has many times, do not overshoot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..graph.csr import CSRGraph
from ..system.runtime import Runtime
from .walks import Walker

NEGATIVES = 5  # k, word2vec's
SHARED = 64
LR = 0.05
WALKS, SQUARES = 64, 1 << 22  # of a batch: so many, or by the squares of their lengths fewer
BATCHES = 64  # that are walked together


@dataclass(frozen=True)
class DeepWalk:
    """
    Args:
        dimension: of a position.
        walk_length: nodes of a walk.
        walks: from every node that has an edge.
        window: w.
        iterations: over the walks, which are the same in each.
    """

    dimension: int
    walk_length: int
    walks: int
    window: int
    iterations: int

    @torch.no_grad()
    def of(self, csr: CSRGraph, seed: int, runtime: Runtime) -> Tensor:
        """The positions, float32 `[N, dimension]` on the CPU; 0 of nodes without edges.

        The seed decides them, on a GPU to rounding.

        Args:
            csr: undirected, whether it has self-loops or not, on the CPU. A walk takes an edge with
                a probability proportional to its weight.

        Raises:
            InputError: there is too little memory for them.
        """
        device, N = runtime.device, csr.num_rows
        self._require(csr, runtime)
        walker = Walker.of(csr)
        generator = torch.Generator().manual_seed(seed)
        values = torch.rand(N, self.dimension, generator=generator).sub_(0.5).div_(self.dimension)
        centres, contexts = Table(values, device), Table(torch.zeros_like(values), device)
        cumulated = walker.sums.pow(0.75).cumsum(0)
        window = self.weights().to(device)
        seed_of_walks = int(torch.randint(1 << 62, (), generator=generator))
        per_batch = max(1, min(WALKS, SQUARES // self.walk_length**2))
        starts = (walker.sums > 0).nonzero().squeeze(1)
        told = runtime.steps(self.iterations * self.walks * -(-len(starts) // per_batch))
        for _ in range(self.iterations):
            walked = torch.Generator().manual_seed(seed_of_walks)
            for walks in self._batches(walker, starts, per_batch, walked):
                u = torch.rand(SHARED, generator=generator, dtype=torch.float64) * cumulated[-1]
                draws = torch.searchsorted(cumulated, u, right=True).clamp(max=N - 1)
                _step(centres, contexts, walks.to(device), draws.to(device), window)
                told()
        return centres.values.cpu().masked_fill_(walker.sums[:, None] == 0, 0)

    def weights(self) -> Tensor:
        """W, float32 `[walk_length, walk_length]`; 0 on its diagonal."""
        places = torch.arange(self.walk_length)
        apart = (places[:, None] - places).abs()
        return ((self.window + 1 - apart) / self.window).clamp(min=0).fill_diagonal_(0)

    def _batches(
        self, walker: Walker, starts: Tensor, per_batch: int, generator: torch.Generator
    ) -> Iterator[Tensor]:
        """int64 `[b, walk_length]`: a walk from every start, in random order, and so `walks`
        times."""
        for _ in range(self.walks if len(starts) else 0):
            order = starts[torch.randperm(len(starts), generator=generator)]
            for part in order.split(per_batch * BATCHES):
                yield from walker.walks(part, self.walk_length, generator).split(per_batch)

    def _require(self, csr: CSRGraph, runtime: Runtime) -> None:
        N, tables = csr.num_rows, 8 * csr.num_rows * (self.dimension + 1)
        walker = 24 * csr.num_edges + 48 * N
        on_gpu = tables if runtime.device.type == "cuda" else 0
        held = walker + (tables // 2 if on_gpu else tables)
        runtime.budget.require(f"find positions of {N:,} nodes", held, on_gpu)


class Table:
    """Rows that take steps of Adagrad, `[N, d]`, each by the sum of its mean squares."""

    def __init__(self, values: Tensor, device: torch.device) -> None:
        self.values = values.to(device)
        self.squares = torch.zeros(len(values), device=device)

    def step(self, rows: Tensor, gradients: Tensor) -> None:
        """Against gradients `[n, d]` of rows, int64 `[n]`, in which one may be several times."""
        distinct, which = rows.unique(return_inverse=True)
        g = gradients.new_zeros(len(distinct), gradients.shape[1]).index_add_(0, which, gradients)
        squares = self.squares[distinct] + g.square().mean(dim=1)
        self.squares[distinct] = squares
        self.values[distinct] -= LR * g / squares.sqrt().add(1e-10)[:, None]


def _step(centres: Table, contexts: Table, walks: Tensor, draws: Tensor, window: Tensor) -> None:
    nodes = walks.flatten()
    c, o, v = centres.values[walks], contexts.values[walks], contexts.values[draws]
    of_c, of_o, of_v = gradients(c, o, v, window)
    centres.step(nodes, of_c.flatten(0, 1))
    contexts.step(torch.cat([nodes, draws]), torch.cat([of_o.flatten(0, 1), of_v]))


def loss(c: Tensor, o: Tensor, v: Tensor, window: Tensor) -> Tensor:
    """The sum that is minimised, of a batch of walks.

    Args:
        c, o: of the nodes of each, `[b, L, d]`.
        v: o of the shared draws, `[K, d]`.
        window: W, `[L, L]`.
    """
    near = window * logsigmoid(c @ o.mT)
    far = logsigmoid(-(c @ v.T)).mean(dim=2) * window.sum(dim=1)
    return -(near.sum() + NEGATIVES * far.sum())


def gradients(c: Tensor, o: Tensor, v: Tensor, window: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of `loss`, with respect to c, o and v."""
    near = -window * torch.sigmoid(-(c @ o.mT))
    far = torch.sigmoid(c @ v.T) * (NEGATIVES / len(v) * window.sum(dim=1))[:, None]
    return near @ o + far @ v, near.mT @ c, far.flatten(0, 1).T @ c.flatten(0, 1)
