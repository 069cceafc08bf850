"""CSRGraph: the only bridge between DGL's graphs and the ops."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from ._dgl import DGLGraph, dgl, homogeneous
from .errors import InputError


@dataclass(frozen=True, eq=False)
class CSRGraph:
    """Rows of neighbours without edge values: row `i` lists the sources of the edges into `i`.

    Args:
        indptr: row pointers, int64 `[N + 1]`.
        indices: column ids, int32 `[E]`, each in `[0, num_cols)`.
        num_cols: M, how many rows the dense operand of a product has.
        symmetric: whether the graph equals its transpose.
    """

    indptr: Tensor
    indices: Tensor
    num_cols: int
    symmetric: bool = False

    @classmethod
    def from_dgl(cls, graph: DGLGraph, symmetric: bool = False) -> CSRGraph:
        """The in-edges of any homogeneous graph or block, as they are: parallel edges count.

        `symmetric` is the caller's word that every edge has its reverse.
        """
        if not homogeneous(graph):
            raise InputError("graph: expected one node type and one edge type, found several")
        indptr, indices, _ = graph.adj_tensors("csc")
        return cls(indptr.long(), indices.int(), graph.num_src_nodes(), symmetric)

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
        A = _with_self_loops(raw._scipy())
        T = A.T.tocsr()
        if not (np.array_equal(A.indptr, T.indptr) and np.array_equal(A.indices, T.indices)):
            target, source = (int(ids[0]) for ids in (A > T).nonzero())
            raise InputError(
                f"graph: expected an undirected graph, but edge {source} -> {target} has no "
                f"reverse; dgl.to_bidirected(graph) adds it"
            )
        return cls._from_scipy(A, symmetric=True)

    @classmethod
    def from_edges(cls, source: np.ndarray, target: np.ndarray, num_nodes: int) -> CSRGraph:
        """The paper's graph over integer edges `[E]`, taken as undirected, in any order."""
        ones = np.ones(len(source), dtype=bool)
        A = sp.coo_matrix((ones, (target, source)), shape=(num_nodes, num_nodes)).tocsr()
        return cls._from_scipy(_with_self_loops(A + A.T), symmetric=True)

    @classmethod
    def _from_scipy(cls, A: sp.csr_matrix, symmetric: bool = False) -> CSRGraph:
        indptr, indices = A.indptr.astype(np.int64), A.indices.astype(np.int32)
        return cls(torch.from_numpy(indptr), torch.from_numpy(indices), A.shape[1], symmetric)

    def _scipy(self) -> sp.csr_matrix:
        ones = np.ones(self.num_edges, dtype=bool)
        parts = (ones, self.indices.cpu().numpy(), self.indptr.cpu().numpy())
        return sp.csr_matrix(parts, shape=(self.num_rows, self.num_cols))

    def to_dgl(self) -> DGLGraph:
        """A square graph as a DGLGraph on the CPU, its edges numbered row by row."""
        # Spelt out: DGL's float32 kernels fail on implied edge ids.
        columns = (self.indptr.cpu(), self.indices.cpu().long(), torch.arange(self.num_edges))
        return dgl.graph(("csc", columns), num_nodes=self.num_rows)

    def to(self, device: torch.device | str) -> CSRGraph:
        indptr, indices = self.indptr.to(device), self.indices.to(device)
        return (
            self
            if indptr is self.indptr
            else type(self)(indptr, indices, self.num_cols, self.symmetric)
        )

    @property
    def num_rows(self) -> int:
        return self.indptr.shape[0] - 1

    @property
    def num_edges(self) -> int:
        return self.indices.shape[0]

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
    def transposed(self) -> CSRGraph:
        """The out-edges, parallel edges kept; an undirected graph is its own transpose."""
        if self.symmetric:
            return self
        rows = torch.repeat_interleave(self.row_lengths)
        indptr = torch.cat([self.col_lengths.new_zeros(1), self.col_lengths.cumsum(0)])
        return type(self)(indptr, rows[self.transposition].int(), self.num_rows)

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


def as_csr(graph: DGLGraph | CSRGraph, device: torch.device | str = "cpu") -> CSRGraph:
    """A CSRGraph as it is, a DGLGraph as the paper's undirected graph; on `device`."""
    return (graph if isinstance(graph, CSRGraph) else CSRGraph.undirected(graph)).to(device)


def _with_self_loops(A: sp.csr_matrix) -> sp.csr_matrix:
    """Sums of bool are "or": parallel edges and present self-loops merge."""
    A = A + sp.identity(A.shape[0], dtype=bool, format="csr")
    A.sum_duplicates()
    return A
