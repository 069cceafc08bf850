r"""Nodes that join a graph: what propagation gives them, from their surroundings alone.

Exact: $X^{(k)}$ of a node depends on the nodes within $k$ hops, and on how many edges each of
these has. So hop $k$ of the $P$ is computed for the nodes within $P - k$ hops of those that are
asked for, and nothing else of the graph is read (of its weights all are summed, once). The result
is that of adding all newcomers to the graph and propagating, up to the order of sums.

Cached: the neighbours' $X^{(0)}$ to $X^{(P-1)}$ are those of the graph as it was, so that one
gather of stored rows and $P$ small products suffice. Degrees are counted with the newcomers. With
one hop both are the same; with more, cached leaves out what newcomers change in their neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import InputError
from ..graph.csr import CSRGraph
from ..ops import spmm
from ..ops.propagate import inverse_sqrt
from ..system.arrays import dtype_name
from .equation import Propagation
from .surroundings import first_rows, places, pointers, surroundings

Rows = Callable[[Tensor], Tensor]  # ids, int64 `[n]`, to float32 `[n, D]`


@dataclass(frozen=True, eq=False)
class Joined:
    """A graph, and nodes that join it with their edges: N to N + n - 1.

    Args:
        known: undirected, one self-loop per node, `[N]`.
        features: X of known nodes.
        newcomers: float32 `[n, D]`.
        touched: ids that edges were added to, ascending, and all newcomers; int64 `[t]`.
        added: their new entries, row i of `touched[i]`, columns ids; newcomers' self-loops too.
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
            edges: ids, int64 `[m, 2]`, each an undirected edge of a newcomer with any node;
                parallel ones are merged, self-loops give way to the graph's.
            weights: float32 `[m]`, where the graph has some, as `CSRGraph.from_edges` takes them;
                None: each is 1, however often it is listed.

        Raises:
            InputError: shapes or types that do not fit, an id that is none, an edge between known
                nodes, weights of a graph without any.
        """
        N, n = known.num_rows, len(newcomers)
        _check(edges, weights, known, n)
        touched = torch.cat([edges.flatten(), torch.arange(N, N + n)]).unique()
        source, target = torch.searchsorted(touched, edges.T.contiguous()).numpy()
        given = None if weights is None else weights.numpy()
        local = CSRGraph.from_edges(source, target, len(touched), given, weighted=given is not None)
        if given is None and known.weights is not None:
            local = replace(local, weights=torch.ones(local.num_edges))
        rows = torch.repeat_interleave(local.row_lengths)
        kept = (rows != local.indices) | (touched[rows] >= N)
        added = CSRGraph(
            pointers(rows[kept].bincount(minlength=len(touched))),
            touched[local.indices[kept].long()].int(),
            N + n,
            weights=None if local.weights is None else local.weights[kept],
        )
        return cls(known, features, newcomers, touched, added)

    @property
    def ids(self) -> Tensor:
        """Of the newcomers, int64 `[n]`."""
        N = self.known.num_rows
        return torch.arange(N, N + len(self.newcomers))

    def exact(self, propagation: Propagation, ids: Tensor) -> Tensor:
        """What propagation gives the nodes of distinct ids, int64 `[b]`, newcomers or known ones.

        float32 `[b, D]`, or without pooling `[b, (P + 1) D]`.
        """
        N = self.known.num_rows + len(self.newcomers)
        reach, graph = surroundings(self._entries, ids, propagation.hops, N)
        w, scale = propagation.self_loop_weight, self._scale(reach[-1], propagation)
        x = self.rows(reach[-1])
        steps = [x[: len(ids)]]
        for within in reversed(reach[:-1]):
            n = len(within)
            x = spmm(first_rows(graph, n, len(x)), x, scale[:n], scale[: len(x)], self_weight=w - 1)
            steps.append(x[: len(ids)])
        return propagation.pool(steps)

    def cached(self, propagation: Propagation, hops: Rows) -> Tensor:
        """The same of all newcomers, `[n, ...]`, by their neighbours' rows as they were.

        Args:
            hops: X^(0) to X^(P-1) side by side of known nodes, `[b, P D]`.
        """
        (n, D), w = self.newcomers.shape, propagation.self_loop_weight
        lengths, columns, weights = self._entries(self.ids)
        near = columns[columns < self.known.num_rows].unique()
        nodes = torch.cat([self.ids, near])
        at = places(nodes, columns, self.known.num_rows + n)
        graph = CSRGraph(pointers(lengths), at, len(nodes), weights=weights)
        scale = self._scale(nodes, propagation)
        stored = hops(near) if propagation.hops else self.newcomers[:0]
        steps = [self.newcomers]
        for k in range(propagation.hops):
            x = torch.cat([steps[-1], stored[:, k * D : (k + 1) * D]])
            steps.append(spmm(graph, x, scale[:n], scale, self_weight=w - 1))
        return propagation.pool(steps)

    def means(self, values: Rows) -> Tensor:
        """Of values of the known neighbours of each newcomer, by the weights of edges that have
        some, `[n, d]`; 0 where it has none, or where they are NaN.

        Args:
            values: of known nodes, `[b, d]`; a row of NaN: none.
        """
        lengths, columns, weights = self._entries(self.ids)
        old = columns < self.known.num_rows
        near = columns[old].unique()
        owners = torch.arange(len(lengths)).repeat_interleave(lengths)[old]
        graph = CSRGraph(
            pointers(owners.bincount(minlength=len(lengths))),
            places(near, columns[old], self.known.num_rows),
            len(near),
            weights=None if weights is None else weights[old],
        )
        found = values(near)
        there = ~found.isnan().any(dim=1, keepdim=True)
        sums = spmm(graph, found.where(there, 0.0))
        return sums / spmm(graph, there.float()).clamp(min=1e-30)

    def rows(self, ids: Tensor) -> Tensor:
        """X, float32 `[b, D]`."""
        N = self.known.num_rows
        out, new = torch.empty(len(ids), self.newcomers.shape[1]), ids >= N
        out[new] = self.newcomers[ids[new] - N]
        out[~new] = self.features(ids[~new])
        return out

    def _scale(self, ids: Tensor, propagation: Propagation) -> Tensor:
        r"""Of $S^{-1/2}$ with the newcomers, float32 `[b]`."""
        old, there = ids < self.known.num_rows, places_of(self.touched, ids)
        degree = torch.full((len(ids),), propagation.self_loop_weight - 1.0, dtype=torch.float64)
        degree[old] += self.known.row_sums[ids[old]]
        degree[there >= 0] += self.added.row_sums[there[there >= 0]]
        return inverse_sqrt(degree).float()

    def _entries(self, ids: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Lengths of rows `[b]`, their columns, and their weights where edges have some."""
        old, there = ids < self.known.num_rows, places_of(self.touched, ids)
        owners, columns, weights = [], [], []
        for csr, has, rows in ((self.known, old, ids), (self.added, there >= 0, there)):
            entries = csr.entries_of(rows[has])
            owners.append(has.nonzero().flatten().repeat_interleave(csr.row_lengths[rows[has]]))
            columns.append(csr.indices[entries])
            weights += [] if csr.weights is None else [csr.weights[entries]]
        owner = torch.cat(owners)
        order = owner.argsort(stable=True)
        return (
            owner.bincount(minlength=len(ids)),
            torch.cat(columns)[order].long(),
            torch.cat(weights)[order] if weights else None,
        )


def places_of(ordered: Tensor, ids: Tensor) -> Tensor:
    """Where in distinct ascending ids each of some is, int64 `[b]`; -1: nowhere."""
    if not len(ordered):
        return torch.full_like(ids, -1)
    place = torch.searchsorted(ordered, ids).clamp(max=len(ordered) - 1)
    return place.where(ordered[place] == ids, -1)


def _check(edges: Tensor, weights: Tensor | None, known: CSRGraph, n: int) -> None:
    N = known.num_rows
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype != torch.long:
        found = f"{dtype_name(edges.dtype)} {list(edges.shape)}"
        raise InputError(f"edges: expected ids, int64 [m, 2], found {found}")
    wrong = (edges < 0) | (edges >= N + n)
    if wrong.any():
        expected = f"expected ids 0 to {N - 1} of known nodes, {N} to {N + n - 1} of new ones"
        raise InputError(f"edges: {expected}; found {int(edges[wrong][0])}")
    old = (edges < N).all(dim=1)
    if old.any():
        edge = edges[old][0].tolist()
        raise InputError(f"edges: expected a new node in each, {N} or above; found {edge}")
    if weights is not None and known.weights is None:
        raise InputError("weights: the graph that the nodes join has none")
