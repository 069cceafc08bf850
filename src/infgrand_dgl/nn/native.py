"""DGL's GraphConv, SAGEConv and GATConv, forwarded by our ops.

Parameters, their names and their initialisation are DGL's. A graph is a `CSRGraph` (row i holds
N(i)), or any homogeneous DGLGraph or block, which is converted at every call. Inputs are
`[M, D_in]`, dense or `SparseMatrix`; the first rows of a block's are its targets.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from ..features.sparse import SparseMatrix
from ..graph.csr import CSRGraph
from ..graph.dgl_bridge import DGLGraph, dgl
from ..ops import gat_aggregate, spmm
from .dropout import dropout


@dataclass(frozen=True, eq=False)
class Aggregated:
    r"""$\hat A X$ of a layer's inputs X, `[N, D_in]`, and X itself where a residual needs it."""

    values: Tensor
    source: Tensor | None = None


Graph: TypeAlias = DGLGraph | CSRGraph
Input: TypeAlias = Tensor | SparseMatrix | Aggregated


def csr(graph: Graph) -> CSRGraph:
    return graph if isinstance(graph, CSRGraph) else CSRGraph.from_dgl(graph)


class Convolution(ABC):
    r"""$\hat A X W + b$, in the order that aggregates the narrower matrix."""

    bias: Tensor

    @abstractmethod
    def matrix(self) -> Tensor:
        """W, `[D_in, D_out]`."""

    @abstractmethod
    def aggregation(self, graph: CSRGraph) -> Callable[[Tensor], Tensor]:
        r"""$\hat A$ times `[M, D]`, of the same dtype."""

    def forward(self, graph: Graph, x: Input) -> Tensor:
        graph, W = csr(graph), self.matrix()
        x = self.aggregated(graph, x)
        y = x.values @ W if isinstance(x, Aggregated) else self.aggregation(graph)(x @ W)
        return y + self.bias.to(y.dtype)  # bfloat16 under autocast

    def aggregated(self, graph: Graph, x: Input) -> Input:
        """`Aggregated` where that comes before the product with W, else x as it is."""
        W = self.matrix()
        if not isinstance(x, Tensor) or W.shape[0] > W.shape[1]:
            return x
        return Aggregated(self.aggregation(csr(graph))(x))


class GraphConv(Convolution, dgl.nn.GraphConv):
    r"""$D_r^{-1/2} A D_c^{-1/2} X W + b$, with the row and column sums $D_r$ and $D_c$ of A.

    A block's row i with degree $d_i$ and k sampled neighbours j estimates that without bias:
    $\frac{\sqrt{d_i}}{k} \sum_j x_j / \sqrt{d_j}$. The weights of a block stand for those of the
    edges left out, too: $\sum_j a_{ij} x_j / \sqrt{d_i d_j}$.
    """

    def matrix(self) -> Tensor:
        return self.weight

    def aggregation(self, graph: CSRGraph) -> Callable[[Tensor], Tensor]:
        dtype = self.weight.dtype
        d = graph.row_sums if graph.row_degrees is None else graph.row_degrees
        if graph.row_degrees is None or graph.weights is not None:
            r = _divisor(d, dtype).rsqrt()
        else:
            r = d.to(dtype).sqrt() / _divisor(graph.row_lengths, dtype)
        d = graph.col_sums if graph.col_degrees is None else graph.col_degrees
        c = _divisor(d, dtype).rsqrt()
        return lambda h: spmm(graph, h, r, c)


class SAGEConv(Convolution, dgl.nn.SAGEConv):
    r"""$W (\sum_j a_{ij} x_j + x_i) / (d_i + 1) + b$, $d_i = \sum_j a_{ij}$: aggregator "gcn".

    A block's row i with degree $d_i$ and k sampled neighbours j estimates that without bias:
    $(\frac{d_i}{k} \sum_j x_j + x_i) / (d_i + 1)$; with weights, those of the block stand for the
    edges left out, too.
    """

    def matrix(self) -> Tensor:
        return self.fc_neigh.weight.T

    def aggregation(self, graph: CSRGraph) -> Callable[[Tensor], Tensor]:
        degrees = graph.row_sums if graph.row_degrees is None else graph.row_degrees
        share = (degrees + 1).to(self.bias.dtype).reciprocal()

        def aggregate(h: Tensor) -> Tensor:
            if graph.row_degrees is None:
                return spmm(graph, h, share, None, 1.0)
            scale = share
            if graph.weights is None:
                scale = share * degrees / graph.row_lengths.clamp(min=1)
            neighbours = spmm(graph, h, scale)
            return torch.addcmul(neighbours, h[: graph.num_rows], share[:, None]).to(h.dtype)

        return aggregate


def _divisor(sums: Tensor, dtype: torch.dtype) -> Tensor:
    """Sums of rows, more than 0 where there is nothing to divide."""
    return sums.to(dtype).clamp(min=torch.finfo(dtype).tiny)


class GATConv(dgl.nn.GATConv):
    r"""$\Vert_k \sum_j \alpha_{ij}^k W_k x_j + b_k$ with the attention of `gat_aggregate`,
    which reads no weights."""

    def forward(self, graph: Graph, x: Tensor | SparseMatrix) -> Tensor:
        graph = csr(graph)
        if isinstance(x, SparseMatrix):
            kept = dropout(x.values, self.feat_drop.p, self.training)  # a dropped zero stays zero
            h = x.with_values(kept) @ self.fc.weight.T
        else:
            h = self.fc(dropout(x, self.feat_drop.p, self.training))
        # The op takes no bfloat16, which autocast has made of the product.
        h = h.to(self.attn_l.dtype).unflatten(1, self.attn_l.shape[1:])
        source, target = (h * self.attn_l).sum(2), (h[: graph.num_rows] * self.attn_r).sum(2)
        p = self.attn_drop.p if self.training else 0.0
        seed = int(torch.randint(1 << 62, ())) if p else 0
        y = gat_aggregate(graph, h, source, target, dropout=p, seed=seed)
        return y + self.bias.view(self.attn_l.shape[1:])
