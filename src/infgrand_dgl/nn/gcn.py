r"""Graph convolutional network (Kipf and Welling, 2017)."""

from itertools import pairwise

from torch import Tensor, nn

from .._dgl import DGLGraph, dgl


class GCN(nn.Module):
    r"""$H^{(l+1)} = \mathrm{dropout}(\mathrm{ReLU}(\hat A H^{(l)} W^{(l)} + b^{(l)}))$.

    $\hat A$ is the adjacency of `graph`, self-loops included, normalised on both sides; the last
    layer has neither ReLU nor dropout.
    """

    def __init__(
        self, in_features: int, hidden: int, classes: int, *, layers: int, dropout: float
    ) -> None:
        super().__init__()
        widths = [in_features, *[hidden] * (layers - 1), classes]
        self.layers = nn.ModuleList(
            dgl.nn.GraphConv(i, o, norm="both") for i, o in pairwise(widths)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, graph: DGLGraph, x: Tensor) -> Tensor:
        """Features `[N, D]` to logits `[N, C]`."""
        for layer in self.layers[:-1]:
            x = self.dropout(layer(graph, x).relu())
        return self.layers[-1](graph, x)
