r"""GraphSAGE with the "gcn" aggregator (Hamilton, Ying and Leskovec, 2017)."""

from itertools import pairwise

from .gnn import GNN, Backend, convolution


class SAGE(GNN):
    r"""$h_i^{(l+1)} = \mathrm{dropout}(\mathrm{ReLU}(W^{(l)}
    \frac{\sum_{j\in N(i)} h_j^{(l)} + h_i^{(l)}}{|N(i)| + 1} + b^{(l)}))$.

    The last layer has neither ReLU nor dropout.
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
        conv = convolution("SAGEConv", backend)
        convs = (conv(i, o, aggregator_type="gcn") for i, o in pairwise(widths))
        super().__init__(convs, widths, dropout, backend)
