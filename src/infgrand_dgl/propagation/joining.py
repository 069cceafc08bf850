r"""Nodes that join a graph: what propagation gives them, from their surroundings alone.

Exact: $X^{(k)}$ of a node depends on the nodes within $k$ hops, and on how many edges each of these
has. So hop $k$ of the $P$ is computed for the nodes within $P - k$ hops of those that are asked for,
and nothing else of the graph is read: the result is that of adding all newcomers to the graph and
propagating, up to the order of sums.

Cached: the neighbours' $X^{(0)}$ to $X^{(P-1)}$ are those of the graph as it was, so that one gather
of stored rows and $P$ small products suffice. Degrees are counted with the newcomers. With one hop
both are the same; with more, cached leaves out what newcomers change in their neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..graph.csr import CSRGraph
from ..ops import spmm
from .equation import Propagation

Rows = Callable[[Tensor], Tensor]  # ids, int64 `[n]`, to float32 `[n, D]`


@dataclass(frozen=True, eq=False)
class Joined:
    """A graph, and nodes that join it with their edges: N to N + n - 1.

    Args:
        known: undirected, one self-loop per node, `[N]`.
        features: X of known nodes.
        newcomers: float32 `[n, D]`.
        touched: ids that edges were added to, ascending, and all newcomers; int64 `[t]`.
        added: their new entries, row i of `touched[i]`, columns ids; a self-loop of newcomers alone.
    """

    known: CSRGraph
    features: Rows
    newcomers: Tensor
    touched: Tensor
    added: CSRGraph

    @classmethod
    def of(
        cls,
        known: CSRGraph,
        features: Rows,
        newcomers: Tensor,
        edges: Tensor,
        weights: Tensor | None = None,
    ) -> Joined:
        """
        Args:
            edges: ids, int64 `[m, 2]`, each an undirected edge of a newcomer with any node; parallel
                ones are merged, self-loops give way to the graph's.
            weights: float32 `[m]`, where the graph has some; None: 1. Parallel ones are merged as by
                `CSRGraph.from_edges`.

        Raises:
            InputError: shapes or types that do not fit, an id that is none, an edge between known
                nodes, weights of a graph without any.
        """
        N, n = known.num_rows, len(newcomers)
        _check(edges, weights, known, N, n)
        touched = torch.cat([edges.flatten(), torch.arange(N, N + n)]).unique()
        source, target = torch.searchsorted(touched, edges.T.contiguous()).numpy()
        if weights is None and known.weights is not None:
            weights = torch.ones(len(edges))
        given = None if weights is None else weights.numpy()
        local = CSRGraph.from_edges(source, target, len(touched), given)
        if local.weights is None and known.weights is not None:  # all of them 1
            local = replace(local, weights=torch.ones(local.num_edges))
        rows = torch.repeat_interleave(local.row_lengths)
        kept = (rows != local.indices) | (touched[rows] >= N)
        lengths = torch.zeros(len(touched), dtype=torch.long).index_add_(0, rows, kept.long())
        added = CSRGraph(
            torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]),
            touched[local.indices[kept].long()].int(),
            N + n,
            weights=None if local.weights is None else local.weights[kept],
        )
        return cls(known, features, newcomers, touched, added)

    def degrees(self, ids: Tensor) -> Tensor:
        """Row sums of A + I with the newcomers, float64 `[n]`."""
        old = ids.clamp(max=self.known.num_rows - 1)
        sums = self.known.row_sums[old].double().where(ids < self.known.num_rows, 0.0)
        place, is_touched = self._place(ids)
        return sums + self.added.row_sums[place].double().where(is_touched, 0.0)

    def rows(self, ids: Tensor) -> Tensor:
        """X, float32 `[n, D]`."""
        N = self.known.num_rows
        out = torch.empty(len(ids), self.newcomers.shape[1])
        new = ids >= N
        out[new] = self.newcomers[ids[new] - N]
        out[~new] = self.features(ids[~new])
        return out

    def exact(self, propagation: Propagation, ids: Tensor) -> Tensor:
        """What propagation gives the nodes of distinct ids, int64 `[n]`, known ones or newcomers:
        float32 `[n, D]`, or without pooling `[n, (P + 1) D]`."""
        reach, graph = self._surroundings(ids, propagation.hops)
        nodes = reach[-1]
        scale = _scale(self.degrees(nodes), propagation)
        x = self.rows(nodes)
        steps = [x[: len(ids)]]
        for within in reversed(reach[:-1]):
            n, w = len(within), propagation.self_loop_weight
            block = _first(graph, n, len(x))
            x = spmm(block, x, scale[:n], scale[: len(x)], self_weight=w - 1)
            steps.append(x[: len(ids)])
        return pooled(propagation, steps)

    def cached(self, propagation: Propagation, hops: Rows) -> Tensor:
        """Of the newcomers, by their neighbours as they were: as `exact`, `[n, ...]`.

        Args:
            hops: X^(0) to X^(P - 1) side by side of known nodes, `[m, P D]`.
        """
        N, (n, D), w = self.known.num_rows, self.newcomers.shape, propagation.self_loop_weight
        new = torch.arange(N, N + n)
        _, (_, columns, weights) = torch.empty(0), self._entries(new)
        ...


def pooled(propagation: Propagation, steps: list[Tensor]) -> Tensor:
    """POOL of X^(0) to X^(P), `[n, D]` each, or all of them side by side."""
    if propagation.pooling is None:
        return torch.cat(steps, dim=1)
    if propagation.pooling == "last":
        return steps[-1]
    stack = torch.stack(steps)
    if propagation.pooling == "mean":
        return stack.mean(dim=0)
    return stack.amax(dim=0) if propagation.pooling == "max" else stack.amin(dim=0)
