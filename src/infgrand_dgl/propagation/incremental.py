r"""$X^{(1)}$ to $X^{(K)}$ of a graph that has changed, from those of the graph as it was.

With T the nodes whose edges or features are others now, $X^{(k)}$ is as it was but for the nodes
within k hops of T: degrees, which scale the rows of neighbours, change in T alone, and an edge that
went joined two nodes of T. So hop k is computed for these rows, of rows of $X^{(k-1)}$ that were
computed before, and of stored ones around them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..graph.changing import ChangingGraph
from ..ops import spmm
from ..ops.propagate import inverse_sqrt
from .equation import Propagation
from .surroundings import first_rows, surroundings


@dataclass(frozen=True, eq=False)
class ChangedHops:
    """What of X^(0) to X^(K) is another now.

    Args:
        reach: distinct ids, those of X^(k) the beginning of those of X^(k+1); the last list is of
            X^(K+1).
        rows: of X^(k), float32 `[len(reach[k]), D]`.
        stored: X^(0) to X^(K) as they were, `[N, D]`; new nodes have none.
    """

    reach: list[Tensor]
    rows: list[Tensor]
    stored: Sequence[Tensor]

    @classmethod
    def of(
        cls,
        graph: ChangingGraph,
        touched: Tensor,
        x: Tensor,
        stored: Sequence[Tensor],
        self_loop_weight: float,
    ) -> ChangedHops:
        r"""$X^{(k)}_i = \sum_j \tilde A_{ij} X^{(k-1)}_j$ of the nodes i within k hops.

        Args:
            graph: as it is now.
            touched: T, distinct ids, all new nodes among them.
            x: their features, float32 `[len(T), D]`.
        """
        K, w = len(stored) - 1, self_loop_weight
        reach, near = surroundings(graph.entries, touched, K + 1, graph.num_nodes)
        scale = inverse_sqrt(graph.degrees[reach[-1]] + (w - 1)).float()
        changed = cls(reach, [x], stored)
        for k in range(1, K + 1):
            n, m = len(reach[k]), len(reach[k + 1])
            around = changed.at(k - 1, m)
            block = first_rows(near, n, m)
            changed.rows.append(spmm(block, around, scale[:n], scale[:m], self_weight=w - 1))
        return changed

    def at(self, k: int, count: int) -> Tensor:
        """X^(k) of the first so many of the last list, those that are as they were included."""
        known = self.rows[k]
        return torch.cat([known, self.stored[k][self.reach[-1][len(known) : count]]])

    def inputs(self, propagation: Propagation) -> tuple[Tensor, Tensor]:
        """Ids of the student's inputs that are others now, int64 `[n]`, and these, `[n, ...]`."""
        ids = self.reach[propagation.hops]
        steps = [self.at(k, len(ids)) for k in range(propagation.hops + 1)]
        return ids, propagation.pool(steps)
