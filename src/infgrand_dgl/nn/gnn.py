"""What the teachers have in common: layers of one of two backends, and a graph for each."""

from collections.abc import Iterable, Sequence
from typing import Literal

from torch import Tensor, nn

from .._dgl import dgl
from . import native
from .dropout import Dropout
from .native import Graph, Input

Backend = Literal["dgl", "native"]


class GNN(nn.Module):
    r"""$H^{(l+1)} = \mathrm{dropout}(\mathrm{ReLU}(\mathrm{layer}^{(l)}(G, H^{(l)})))$.

    The last layer has neither ReLU nor dropout. Heads of a layer are concatenated.
    """

    def __init__(self, layers: Iterable[nn.Module], dropout: float, backend: Backend) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.dropout = Dropout(dropout)
        self.backend = backend

    def forward(self, graph: Graph | Sequence[Graph], x: Input) -> Tensor:
        """Features `[M, D]` to logits `[N, C]`.

        Args:
            graph: one for all layers, or sampled blocks, one for each. The native backend also
                takes a `CSRGraph`; a DGLGraph it converts at every call.
            x: of the graph's nodes, or of the first block's sources. The native backend also
                takes a `SparseMatrix`.
        """
        graphs = list(graph) if isinstance(graph, Sequence) else [graph] * len(self.layers)
        if self.backend == "native":
            converted = {id(g): native.csr(g) for g in graphs}
            graphs = [converted[id(g)] for g in graphs]
        for layer, g in zip(self.layers[:-1], graphs, strict=False):
            x = self.dropout(layer(g, x).flatten(1).relu())
        return self.layers[-1](graphs[-1], x).flatten(1)


def convolution(name: str, backend: Backend) -> type[nn.Module]:
    """The class of a layer: DGL's, or ours of the same name."""
    return getattr(dgl.nn if backend == "dgl" else native, name)
