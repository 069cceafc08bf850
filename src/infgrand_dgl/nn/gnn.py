"""What the teachers have in common: layers of one of two backends, and a graph for each."""

from collections.abc import Iterable, Sequence
from typing import Literal

from torch import Tensor, nn

from ..config.schema import TeacherConfig
from ..graph.dgl_bridge import dgl
from . import native
from .dropout import Dropout
from .native import Graph, Input

Backend = Literal["dgl", "native"]


class GNN(nn.Module):
    r"""$H^{(l+1)} = \mathrm{dropout}(\mathrm{ReLU}(\mathrm{layer}^{(l)}(G, H^{(l)})))$.

    The last layer has neither ReLU nor dropout. Heads of a layer are concatenated.

    Args:
        widths: of $H^{(0)}$ to the logits.
    """

    def __init__(
        self,
        layers: Iterable[nn.Module],
        widths: Sequence[int],
        dropout: float,
        backend: Backend,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.widths = list(widths)
        self.dropout = Dropout(dropout)
        self.backend = backend

    def forward(self, graph: Graph | Sequence[Graph], x: Input) -> Tensor:
        """Features `[M, D]` to logits `[N, C]`.

        Args:
            graph: one for all layers, or sampled blocks, one for each. The native backend also
                takes a `CSRGraph`; a DGLGraph it converts at every call.
            x: of the graph's nodes, or of the first block's sources. The native backend also
                takes a `SparseMatrix`, or what `constant` made.
        """
        graphs = list(graph) if isinstance(graph, Sequence) else [graph] * len(self.layers)
        if self.backend == "native":
            converted = {id(g): native.csr(g) for g in graphs}
            graphs = [converted[id(g)] for g in graphs]
        *inner, last = range(len(self.layers))
        for k in inner:
            x = self.layer(k, graphs[k], x)
        return self.layer(last, graphs[last], x)

    def constant(self, graph: Graph, x: Input) -> Input:
        """Features, for calls on the same graph time and again: aggregated once and for all, where
        the first layer does that first."""
        first = self.layers[0]
        return first.aggregated(graph, x) if isinstance(first, native.Convolution) else x

    def layer(self, k: int, graph: Graph, x: Input) -> Tensor:
        """Layer k (from 0) alone: `[M, widths[k]]` to `[N, widths[k + 1]]`."""
        h = self.layers[k](graph, x).flatten(1)
        return h if k == len(self.layers) - 1 else self.dropout(h.relu())


def layer_widths(config: TeacherConfig, in_features: int, classes: int) -> list[int]:
    """Of a teacher's inputs, hidden layers and logits."""
    return [in_features, *[config.hidden] * (config.layers - 1), classes]


def convolution(name: str, backend: Backend) -> type[nn.Module]:
    """The class of a layer: DGL's, or ours of the same name."""
    return getattr(dgl.nn if backend == "dgl" else native, name)
