"""DGL's GraphConv, SAGEConv and GATConv, forwarded by our ops.

Parameters, their names and their initialisation are DGL's. A graph is a `CSRGraph` (row i holds
N(i)), or any homogeneous DGLGraph or block, which is converted at every call. Inputs are
`[M, D_in]`, dense or `SparseMatrix`; the first rows of a block's are its targets.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from .._dgl import DGLGraph, dgl
from ..graph import CSRGraph
from ..ops import gat_aggregate, spmm
from ..sparse import SparseMatrix
from .dropout import dropout

Graph: TypeAlias = DGLGraph | CSRGraph
Input: TypeAlias = Tensor | SparseMatrix


def csr(graph: Graph) -> CSRGraph:
    return graph if isinstance(graph, CSRGraph) else CSRGraph.from_dgl(graph)


class GraphConv(dgl.nn.GraphConv):
    r"""$D_r^{-1/2} A D_c^{-1/2} X W + b$, with the row and column lengths $D_r$ and $D_c$ of A."""

    def forward(self, graph: Graph, x: Input) -> Tensor:
        graph = csr(graph)
        r, c = (
            lengths.clamp(min=1).to(self.weight.dtype).rsqrt()
            for lengths in (graph.row_lengths, graph.col_lengths)
        )
        return _aggregated(lambda h: spmm(graph, h, r, c), x, self.weight) + self.bias


class SAGEConv(dgl.nn.SAGEConv):
    r"""$W (\sum_{j\in N(i)} x_j + x_i) / (|N(i)| + 1) + b$: aggregator "gcn"."""

    def forward(self, graph: Graph, x: Input) -> Tensor:
        graph = csr(graph)
        r = (graph.row_lengths + 1).to(self.bias.dtype).reciprocal()
        weight = self.fc_neigh.weight.T
        return _aggregated(lambda h: spmm(graph, h, r, None, 1.0), x, weight) + self.bias


class GATConv(dgl.nn.GATConv):
    r"""$\Vert_k \sum_j \alpha_{ij}^k W_k x_j + b_k$ with the attention of `gat_aggregate`."""

    def forward(self, graph: Graph, x: Input) -> Tensor:
        graph = csr(graph)
        if isinstance(x, SparseMatrix):
            h = x.dropout(self.feat_drop.p, self.training) @ self.fc.weight.T
        else:
            h = self.fc(dropout(x, self.feat_drop.p, self.training))
        h = h.unflatten(1, self.attn_l.shape[1:])
        source, target = (h * self.attn_l).sum(2), (h[: graph.num_rows] * self.attn_r).sum(2)
        p = self.attn_drop.p if self.training else 0.0
        seed = int(torch.randint(1 << 62, ())) if p else 0
        y = gat_aggregate(graph, h, source, target, dropout=p, seed=seed)
        return y + self.bias.view(self.attn_l.shape[1:])


def _aggregated(aggregate: Callable[[Tensor], Tensor], x: Input, weight: Tensor) -> Tensor:
    """The aggregation of X W, in the order that aggregates the narrower matrix."""
    if isinstance(x, SparseMatrix) or weight.shape[0] > weight.shape[1]:
        return aggregate(x @ weight)
    return aggregate(x) @ weight
