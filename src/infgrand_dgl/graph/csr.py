"""CSRGraph: the only bridge between DGL's graphs and the ops."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .weights import WEIGHT, both_ways, listed, no_reverse, of_edata, row_sums

if TYPE_CHECKING:
    from .dgl_bridge import DGLGraph

# Entries: on a GPU longer rows are summed in pieces (csrc/cuda/warp.h), of so many at least.
LONG, PIECE = 512, 256
# Rows as long as others, counted in so many entries, stay in order; so do all where none is longer.
ALIKE, UNEVEN = 8, 64


@dataclass(frozen=True, eq=False)
class CSRGraph:
    """Rows of neighbours: row `i` lists the sources of the edges into `i`.

    Args:
        indptr: row pointers, int64 `[N + 1]`.
        indices: column ids, int32 `[E]`, each in `[0, num_cols)`.
        num_cols: M, how many rows the dense operand of a product has.
        symmetric: whether the graph equals its transpose.
        row_degrees: of a block, the `row_sums` of its rows in the graph which it was sampled or cut
            from, `[N]`; None: their own.
        col_degrees: likewise the `col_sums`, `[M]`.
        weights: of the edges, positive and finite, float32 `[E]`; 1 in the self-loops that a graph
            gets. None: each is 1.
    """

    indptr: Tensor
    indices: Tensor
    num_cols: int
    symmetric: bool = False
    row_degrees: Tensor | None = None
    col_degrees: Tensor | None = None
    weights: Tensor | None = None

    @classmethod
    def from_dgl(cls, graph: DGLGraph, symmetric: bool = False) -> CSRGraph:
        """The in-edges of any homogeneous graph or block, as they are: parallel edges count.

        Edata of a name in `WEIGHTS` has the weights. `symmetric` is the caller's word that every
        edge has its reverse, of the same weight.
        """
        from .dgl_bridge import homogeneous

        if not homogeneous(graph):
            raise InputError("graph: expected one node type and one edge type, found several")
        indptr, indices, edges = graph.adj_tensors("csc")
        csr = cls(indptr.long(), indices.int(), graph.num_src_nodes(), symmetric)
        weights = of_edata(graph)
        return csr if weights is None else replace(csr, weights=weights[edges.long()])

    @classmethod
    def undirected(cls, graph: DGLGraph) -> CSRGraph:
        """The paper's graph: undirected and simple, with exactly one self-loop per node.

        Parallel edges are merged, self-loops added where missing.

        Raises:
            InputError: a block, several types, or an edge without its reverse.
        """
        raw = cls.from_dgl(graph)
        if graph.is_block:
            raise InputError("graph: expected a whole graph, found a sampled block")
        rows, cols = torch.repeat_interleave(raw.row_lengths).numpy(), raw.indices.numpy()
        weights = None if raw.weights is None else raw.weights.numpy()
        return cls.mirrored(cols, rows, raw.num_rows, "dgl.to_bidirected(graph) adds it", weights)

    @classmethod
    def mirrored(
        cls,
        source: np.ndarray,
        target: np.ndarray,
        num_nodes: int,
        advice: str = "",
        weights: np.ndarray | None = None,
    ) -> CSRGraph:
        """The paper's graph over integer edges `[E]` that are listed in both directions.

        Args:
            advice: how the caller adds the reverse of an edge.
            weights: as in `from_edges`.

        Raises:
            InputError: an edge without its reverse, or with one of another weight.
        """
        source, target, weights = listed(source, target, weights)
        if weights is not None:
            return cls._from_keys(*both_ways(source, target, weights, num_nodes, advice), num_nodes)
        pairs = ((target, source), (source, target))
        keys, reversed_keys = (_sorted_keys(num_nodes, pair) for pair in pairs)
        if not np.array_equal(keys, reversed_keys):
            alone = np.setdiff1d(keys, reversed_keys, assume_unique=True)[0]
            raise no_reverse(int(alone), num_nodes, advice)
        return cls._from_keys(keys, None, num_nodes)

    @classmethod
    def from_edges(
        cls,
        source: np.ndarray,
        target: np.ndarray,
        num_nodes: int,
        weights: np.ndarray | None = None,
        *,
        weighted: bool = False,
    ) -> CSRGraph:
        """The paper's graph over integer edges `[E]`, taken as undirected, in any order.

        Args:
            weights: numbers `[E]`. 0: no edge; where all others are 1, the graph has no weights.
                Parallel edges in one direction add up; where an edge is listed in both directions,
                the mean counts.
            weighted: it has weights all the same.

        Raises:
            InputError: weights that are negative, NaN or infinite, or not one an edge.
        """
        source, target, weights = listed(source, target, weights)
        if weights is None and weighted:
            weights = np.ones(len(source), dtype=np.float32)
        if weights is not None:
            return cls._from_keys(*both_ways(source, target, weights, num_nodes), num_nodes)
        keys = _sorted_keys(num_nodes, (target, source), (source, target))
        return cls._from_keys(keys, None, num_nodes)

    @classmethod
    def _from_keys(cls, keys: np.ndarray, weights: np.ndarray | None, num_nodes: int) -> CSRGraph:
        indptr, indices = map(torch.from_numpy, rows_of_keys(keys, 0, num_nodes, num_nodes))
        found = None if weights is None else torch.from_numpy(weights)
        return cls(indptr, indices, num_nodes, symmetric=True, weights=found)

    def subgraph(self, nodes: Tensor) -> CSRGraph:
        """The edges among distinct nodes, int64 `[n]`, numbered as they are listed."""
        local = torch.full((self.num_cols,), -1, dtype=torch.int32)
        local[nodes] = torch.arange(len(nodes), dtype=torch.int32)
        end, entries = self.row_lengths[nodes].cumsum(0), self.entries_of(nodes)
        columns = local[self.indices[entries].long()]
        kept = columns >= 0
        # How many entries are kept before each row.
        before = torch.cat([kept.new_zeros(1, dtype=torch.long), kept.cumsum(0)])
        indptr = before[torch.cat([end.new_zeros(1), end])]
        weights = None if self.weights is None else self.weights[entries[kept]]
        return type(self)(indptr, columns[kept], len(nodes), self.symmetric, weights=weights)

    def entries_of(self, rows: Tensor) -> Tensor:
        """Places of the entries of rows, int64 `[n]`, one row after the other; int64."""
        lengths = self.row_lengths[rows]
        moved = torch.repeat_interleave(self.indptr[rows] - (lengths.cumsum(0) - lengths), lengths)
        return moved.add_(torch.arange(len(moved), device=moved.device))

    def block(self, first: int, last: int) -> tuple[CSRGraph, Tensor]:
        """Rows `first` to `last - 1` of a square graph, and the nodes that its columns are.

        The first columns are the rows themselves. Degrees are the whole graph's.
        """
        indptr = self.indptr[first : last + 1]
        entries = slice(int(indptr[0]), int(indptr[-1]))
        columns = self.indices[entries].long()
        # Marks rather than a sort: a pass over N bytes is cheaper than sorting a large block.
        other = torch.zeros(self.num_cols, dtype=torch.bool)
        other[columns] = True
        other[first:last] = False
        nodes = torch.cat([torch.arange(first, last), other.nonzero().squeeze(1)])
        local = torch.empty(self.num_cols, dtype=torch.int32)
        local[nodes] = torch.arange(len(nodes), dtype=torch.int32)
        block = type(self)(
            indptr - indptr[0],
            local[columns],
            len(nodes),
            row_degrees=self.row_sums[first:last],
            col_degrees=self.col_sums[nodes],
            weights=None if self.weights is None else self.weights[entries],
        )
        return block, nodes

    def to_dgl(self) -> DGLGraph:
        """A square graph as a DGLGraph on the CPU, edges numbered row by row, weights as edata."""
        from .dgl_bridge import dgl

        # Spelt out: DGL's float32 kernels fail on implied edge ids.
        columns = (self.indptr.cpu(), self.indices.cpu().long(), torch.arange(self.num_edges))
        graph = dgl.graph(("csc", columns), num_nodes=self.num_rows)
        if self.weights is not None:
            graph.edata[WEIGHT] = self.weights.cpu()
        return graph

    def to(self, device: torch.device | str) -> CSRGraph:
        indptr = self.indptr.to(device)
        if indptr is self.indptr:
            return self
        others = (self.row_degrees, self.col_degrees, self.weights)
        given = (tensor if tensor is None else tensor.to(device) for tensor in others)
        indices = self.indices.to(device)
        moved = type(self)(indptr, indices, self.num_cols, self.symmetric, *given)
        if indptr.is_cuda:  # asking the GPU for their number would wait for it
            moved.__dict__["pieces"] = self.pieces.to(device)
            moved.__dict__["uneven"] = self.uneven
            if self.weights is not None and self.row_degrees is None:
                moved.__dict__["row_sums"] = self.row_sums.to(device)
        return moved

    @property
    def num_rows(self) -> int:
        return self.indptr.shape[0] - 1

    @property
    def num_edges(self) -> int:
        return self.indices.shape[0]

    @property
    def arrays(self) -> tuple[Tensor, ...]:
        """What it is stored as."""
        return tuple(x for x in (self.indptr, self.indices, self.weights) if x is not None)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.arrays)

    @cached_property
    def row_lengths(self) -> Tensor:
        """|N(i)|, int64 `[N]`."""
        return self.indptr[1:] - self.indptr[:-1]

    @cached_property
    def col_lengths(self) -> Tensor:
        """How often each column occurs, int64 `[M]`."""
        if self.symmetric:
            return self.row_lengths
        return torch.bincount(self.indices, minlength=self.num_cols)

    @cached_property
    def row_sums(self) -> Tensor:
        """What the weights of each row sum to, float64 `[N]`; without weights `row_lengths`."""
        if self.weights is None:
            return self.row_lengths
        return row_sums(self.indptr, self.weights)

    @cached_property
    def col_sums(self) -> Tensor:
        """Likewise of each column, `[M]`."""
        return self.col_lengths if self.weights is None else self.transposed.row_sums

    @cached_property
    def schedule(self) -> Tensor:
        """What a GPU sums in which order: pieces of long rows, then all rows, the longest first.

        int64 `[P + N, 2]`: row + 2³² · entries, and the first entry. Of neighbouring threads none
        waits for one that has more to do. Empty where rows are as good as alike.
        """
        if not self.uneven:
            return self.pieces[:0]
        lengths, pieces = self.indptr.diff(), self.pieces
        alike = lengths.add(ALIKE - 1).div_(ALIKE, rounding_mode="floor").clamp_(max=2**15 - 1)
        order = alike.short().argsort(descending=True, stable=True)
        schedule = pieces.new_empty(len(pieces) + self.num_rows, 2)
        schedule[: len(pieces)] = pieces
        entries, begin = schedule[len(pieces) :].unbind(dim=1)
        entries.copy_(lengths.clamp_(max=2**31 - 1)[order]).bitwise_left_shift_(32).add_(order)
        begin.copy_(self.indptr[order])
        return schedule

    @cached_property
    def uneven(self) -> bool:
        """Whether some row is so long that others would wait for it."""
        return self.num_rows > 0 and int(self.indptr.diff().max()) > UNEVEN

    @cached_property
    def pieces(self) -> Tensor:
        """The pieces of the rows longer than LONG, as `schedule` has them, int64 `[P, 2]`.

        In the order of their entries. PIECE entries each, or the square root of the row's length:
        a row has no more pieces to add up than entries in one.
        """
        lengths = self.indptr.diff()
        long = (lengths > LONG).nonzero().squeeze(1)
        lengths = lengths[long]
        size = lengths.double().sqrt().ceil().long().clamp(min=PIECE)
        counts = (lengths + size - 1) // size
        first = torch.repeat_interleave(counts.cumsum(0) - counts, counts)
        rows, size = (torch.repeat_interleave(of_row, counts) for of_row in (long, size))
        begin = self.indptr[rows] + size * (torch.arange(len(rows), device=rows.device) - first)
        entries = torch.minimum(size, self.indptr[rows + 1] - begin)
        return torch.stack([rows + (entries << 32), begin], dim=1)

    @cached_property
    def transposed(self) -> CSRGraph:
        """The out-edges, parallel edges kept; an undirected graph is its own transpose."""
        if self.symmetric:
            return self
        rows = torch.repeat_interleave(self.row_lengths, output_size=self.num_edges)
        indptr = torch.cat([self.col_lengths.new_zeros(1), self.col_lengths.cumsum(0)])
        indices = rows[self.transposition].int()
        weights = None if self.weights is None else self.weights[self.transposition]
        return type(self)(indptr, indices, self.num_rows, weights=weights)

    @cached_property
    def transposition(self) -> Tensor:
        """The edge of this graph that is edge e of the transposed one, int64 `[E]`."""
        if not self.symmetric:
            return torch.argsort(self.indices, stable=True)
        # The transposed graph is this one, whose rows may be in any order.
        rows, cols = torch.repeat_interleave(self.row_lengths), self.indices.long()
        stored = torch.argsort(rows * self.num_cols + cols)
        mirrored = torch.argsort(cols * self.num_cols + rows)
        return torch.empty_like(stored).index_copy_(0, stored, mirrored)


def _sorted_keys(num_nodes: int, *edges: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """row·N + column of the edges (rows, columns) and of a self-loop per node, each once."""
    loops = np.arange(num_nodes)
    pairs = [*edges, (loops, loops)]
    keys = np.empty(sum(len(rows) for rows, _ in pairs), dtype=np.int64)
    start = 0
    for rows, cols in pairs:
        part = keys[start : start + len(rows)]
        np.multiply(rows, num_nodes, out=part, dtype=np.int64)
        part += cols
        start += len(rows)
    return distinct(keys)


def distinct(keys: np.ndarray) -> np.ndarray:
    """Sorted, each once; the argument is sorted in place. (np.unique hashes, tenfold slower.)"""
    keys.sort()
    first = np.append(True, keys[1:] > keys[:-1])[: len(keys)]
    return keys if first.all() else keys[first]


def rows_of_keys(
    keys: np.ndarray, first: int, last: int, num_cols: int
) -> tuple[np.ndarray, np.ndarray]:
    """Row pointers int64 `[last - first + 1]` and columns int32 `[E]` of rows `first` to `last`.

    Args:
        keys: row·num_cols + column of each entry, ascending.
    """
    indptr = np.searchsorted(keys, np.arange(first, last + 1) * num_cols)
    indices = np.empty(len(keys), dtype=np.int32)
    np.remainder(keys, num_cols, out=indices, casting="unsafe")
    return indptr, indices
