r"""GraphSAGE with the "gcn" aggregator (Hamilton, Ying and Leskovec, 2017)."""

from itertools import pairwise

from torch import Tensor, nn

from .._dgl import DGLGraph, dgl


class SAGE(nn.Module):
    r"""$h_i^{(l+1)} = \mathrm{dropout}(\mathrm{ReLU}(W^{(l)}
    \frac{\sum_{j\in N(i)} h_j^{(l)} + h_i^{(l)}}{|N(i)| + 1} + b^{(l)}))$.

    The last layer has neither ReLU nor dropout.
    """

    def __init__(
        self, in_features: int, hidden: int, classes: int, *, layers: int, dropout: float
    ) -> None:
        super().__init__()
        widths = [in_features, *[hidden] * (layers - 1), classes]
        self.layers = nn.ModuleList(
            dgl.nn.SAGEConv(i, o, aggregator_type="gcn") for i, o in pairwise(widths)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, graph: DGLGraph, x: Tensor) -> Tensor:
        """Features `[N, D]` to logits `[N, C]`."""
        for layer in self.layers[:-1]:
            x = self.dropout(layer(graph, x).relu())
        return self.layers[-1](graph, x)
