r"""Graph convolutional network (Kipf and Welling, 2017)."""

from itertools import pairwise

from .gnn import GNN, Backend, convolution


class GCN(GNN):
    r"""$H^{(l+1)} = \mathrm{dropout}(\mathrm{ReLU}(\hat A H^{(l)} W^{(l)} + b^{(l)}))$.

    $\hat A$ is the adjacency of the graph, self-loops included, normalised on both sides; the last
    layer has neither ReLU nor dropout.
    """

    def __init__(
        self,
        in_features: int,
        hidden: int,
        classes: int,
        *,
        layers: int,
        dropout: float,
        backend: Backend = "dgl",
    ) -> None:
        widths = [in_features, *[hidden] * (layers - 1), classes]
        conv = convolution("GraphConv", backend)
        convs = (conv(i, o, norm="both") for i, o in pairwise(widths))
        super().__init__(convs, widths, dropout, backend)
