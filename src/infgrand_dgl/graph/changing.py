"""A graph whose edges come and go: what changes costs the rows that it touches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from .csr import CSRGraph

ROOM = 4  # for rows to come, a share of the entries: one in so many


@dataclass(frozen=True, eq=False)
class Edits:
    """Undirected edges, each once and none a self-loop; those that go go first.

    Args:
        added, removed: ids, int64 `[a, 2]` and `[r, 2]`.
        weights: of the added, positive, float32 `[a]`, where the graph has some; None: 1.
        nodes: how many are new, after the known ones.
    """

    added: Tensor
    removed: Tensor
    weights: Tensor | None = None
    nodes: int = 0


@dataclass(eq=False)
class ChangingGraph:
    """Undirected and simple, one self-loop per node, as `CSRGraph`; rows may lie anywhere.

    Row i is `columns[starts[i] : starts[i] + lengths[i]]`, ascending. A row that changes is written
    at `end`, and its old place is lost until there is no room left: then all move together.

    Args:
        starts, lengths: int64 `[N]`.
        degrees: sums of the rows' weights, float64 `[N]`.
        columns: int32, and
        weights: float32, None where edges have none; with room behind `end`.
    """

    starts: Tensor
    lengths: Tensor
    degrees: Tensor
    columns: Tensor
    weights: Tensor | None
    end: int

    @classmethod
    def of(cls, csr: CSRGraph, room: int = 0) -> ChangingGraph:
        """
        Args:
            room: entries that it must have room for; it has more.
        """
        end, extra = csr.num_edges, max(room, csr.num_edges // ROOM)
        columns = torch.cat([csr.indices, csr.indices.new_zeros(extra)])
        weights = csr.weights
        if weights is not None:
            weights = torch.cat([weights, weights.new_zeros(extra)])
        lengths, degrees = csr.row_lengths, csr.row_sums.double()
        return cls(csr.indptr[:-1].clone(), lengths, degrees, columns, weights, end)

    @property
    def num_nodes(self) -> int:
        return len(self.starts)

    @property
    def num_edges(self) -> int:
        return int(self.lengths.sum())

    def csr(self) -> CSRGraph:
        """The same in one piece."""
        lengths, columns, weights = self.entries(torch.arange(self.num_nodes))
        indptr = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        return CSRGraph(indptr, columns.int(), self.num_nodes, symmetric=True, weights=weights)

    def entries(self, ids: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Lengths of rows `[b]`, their columns, int64, and their weights where edges have some."""
        lengths = self.lengths[ids]
        moved = self.starts[ids] - (lengths.cumsum(0) - lengths)
        at = moved.repeat_interleave(lengths)
        at += torch.arange(len(at))
        weights = None if self.weights is None else self.weights[at]
        return lengths, self.columns[at].long(), weights

    def change(self, edits: Edits) -> tuple[Tensor, bool]:
        """Makes the edits.

        Returns:
            The nodes whose rows are others now, ascending, the new ones among them; and whether all
            rows have moved.

        Raises:
            InputError: an edge to remove is not there, or one to add is; the graph stays as it was.
        """
        N = self.num_nodes + edits.nodes
        new = torch.arange(self.num_nodes, N)
        touched = torch.cat([edits.added.flatten(), edits.removed.flatten(), new]).unique()
        keys, weights = self._rows_after(edits, touched, new, N)
        moved = self.end + len(keys) > len(self.columns)
        if moved:
            vars(self).update(vars(ChangingGraph.of(self.csr(), room=len(keys))))
        place = torch.searchsorted(touched, keys // N)
        lengths = place.bincount(minlength=len(touched))
        sums = lengths.double()
        if weights is not None:
            sums = torch.zeros_like(sums).index_add_(0, place, weights.double())
        for name in ("starts", "lengths", "degrees") if edits.nodes else ():
            values = getattr(self, name)
            setattr(self, name, torch.cat([values, values.new_zeros(edits.nodes)]))
        self.starts[touched] = self.end + lengths.cumsum(0) - lengths
        self.lengths[touched], self.degrees[touched] = lengths, sums
        written = slice(self.end, self.end + len(keys))
        self.columns[written] = (keys % N).int()
        if self.weights is not None and weights is not None:
            self.weights[written] = weights
        self.end = written.stop
        return touched, moved

    def _rows_after(
        self, edits: Edits, touched: Tensor, new: Tensor, N: int
    ) -> tuple[Tensor, Tensor | None]:
        """row·N + column of the touched rows' entries, ascending, and their weights."""
        known = touched[: len(touched) - len(new)]
        lengths, columns, weights = self.entries(known)
        keys = known.repeat_interleave(lengths) * N + columns
        gone, come = _both(edits.removed, N), _both(edits.added, N)
        if (lost := ~torch.isin(gone, keys)).any():
            found = _edge(gone[lost], N)
            raise InputError(f"removed edges: expected some of the graph, found {found}")
        kept = ~torch.isin(keys, gone)
        keys = keys[kept]
        if (there := torch.isin(come, keys)).any():
            found = _edge(come[there], N)
            raise InputError(f"added edges: expected none that the graph has, found {found}")
        keys = torch.cat([keys, come, new * (N + 1)])
        order = keys.argsort()
        if weights is not None:
            added = torch.ones(len(edits.added)) if edits.weights is None else edits.weights
            weights = torch.cat([weights[kept], added, added, torch.ones(len(new))])[order]
        return keys[order], weights


def _both(edges: Tensor, N: int) -> Tensor:
    """row·N + column of undirected edges, `[m, 2]`, first of one direction."""
    one, other = edges.T
    return torch.cat([one * N + other, other * N + one])


def _edge(keys: Tensor, N: int) -> list[int]:
    return [int(keys[0]) // N, int(keys[0]) % N]
