r"""Random walks on a graph, all of a batch at once.

From node $i$ a walk goes along an edge to $j \ne i$ with probability $w_{ij} / \sum_k w_{ik}$
(DeepWalk: Perozzi et al., KDD 2014, section 4.2.1; without weights to every neighbour alike). On an
undirected graph a walk that has taken an edge never ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..graph.csr import CSRGraph


@dataclass(frozen=True, eq=False)
class Walker:
    """A graph to walk on, without its self-loops.

    Args:
        indptr, indices: its rows, int64 `[N + 1]`, int32 `[E]`.
        sums: what the weights of each row sum to, float64 `[N]`; without weights its length.
        ends: with weights float64 `[E + 1]`: what the probabilities of all edges before each sum
            to, row after row, each row by itself 1; None: a row's are alike.
    """

    indptr: Tensor
    indices: Tensor
    sums: Tensor
    ends: Tensor | None

    @classmethod
    def of(cls, csr: CSRGraph) -> Walker:
        """Of an undirected graph on the CPU, whether it has self-loops or not."""
        rows = torch.repeat_interleave(csr.row_lengths)
        kept = csr.indices != rows
        rows = rows[kept]
        lengths = torch.bincount(rows, minlength=csr.num_rows)
        indptr = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        if csr.weights is None:
            return cls(indptr, csr.indices[kept], lengths.double(), None)
        weights = csr.weights[kept].double()
        sums = torch.zeros(csr.num_rows, dtype=torch.float64).index_add_(0, rows, weights)
        ends = torch.cat([weights.new_zeros(1), (weights / sums[rows]).cumsum(0)])
        return cls(indptr, csr.indices[kept], sums, ends)

    def walks(self, starts: Tensor, length: int, generator: torch.Generator) -> Tensor:
        """int64 `[n, length]`.

        Args:
            starts: nodes, int64 `[n]`, each with an edge; the first of its walk.
        """
        out = starts.new_empty(len(starts), length)
        out[:, 0] = nodes = starts
        for step in range(1, length):
            out[:, step] = nodes = self._next(nodes, generator)
        return out

    def _next(self, nodes: Tensor, generator: torch.Generator) -> Tensor:
        first, end = self.indptr[nodes], self.indptr[nodes + 1]
        u = torch.rand(len(nodes), generator=generator, dtype=torch.float64)
        if self.ends is None:
            edges = first + (u * (end - first)).long()
        else:
            low, high = self.ends[first], self.ends[end]
            edges = torch.searchsorted(self.ends, low + u * (high - low), right=True) - 1
        # Rounding may reach the neighbouring row.
        return self.indices[edges.maximum(first).minimum(end - 1)].long()
