"""DGL's layers, of which two read weights of edges: edata of a name in `graph.convert.WEIGHTS`."""

import torch
from torch import Tensor

from ..graph.convert import WEIGHTS
from ..graph.dgl_bridge import DGLGraph, dgl

GATConv = dgl.nn.GATConv


class GraphConv(dgl.nn.GraphConv):
    r"""$D_r^{-1/2} A D_c^{-1/2} X W + b$, with the row and column sums $D_r$ and $D_c$ of A."""

    def forward(self, graph: DGLGraph, x: Tensor) -> Tensor:
        weights = _weights(graph, x.dtype)
        if weights is None:
            return super().forward(graph, x)
        W, normalized = self.weight, dgl.nn.EdgeWeightNorm("both")(graph, weights)
        wide = W.shape[0] > W.shape[1]
        y = dgl.ops.u_mul_e_sum(graph, x @ W if wide else x, normalized[:, None])
        return (y if wide else y @ W) + self.bias


class SAGEConv(dgl.nn.SAGEConv):
    r"""$W (\sum_j a_{ij} x_j + x_i) / (\sum_j a_{ij} + 1) + b$: aggregator "gcn"."""

    def forward(self, graph: DGLGraph, x: Tensor) -> Tensor:
        weights = _weights(graph, x.dtype)
        if weights is None:
            return super().forward(graph, x)
        wide = self.fc_neigh.in_features > self.fc_neigh.out_features
        h = self.fc_neigh(x) if wide else x
        neighbours = dgl.ops.u_mul_e_sum(graph, h, weights[:, None])
        share = dgl.ops.copy_e_sum(graph, weights[:, None]) + 1
        y = (neighbours + h[: graph.num_dst_nodes()]) / share
        return (y if wide else self.fc_neigh(y)) + self.bias


def _weights(graph: DGLGraph, dtype: torch.dtype) -> Tensor | None:
    """`[E]`, in the order of the graph's edges."""
    found = (graph.edata[name].flatten() for name in WEIGHTS if name in graph.edata)
    weights = next(found, None)
    return None if weights is None else weights.to(dtype)
