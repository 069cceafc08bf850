"""What the teachers have in common: layers of one of two backends, a graph for each, and what is
around the convolutions."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from ..config.schema import TeacherConfig
from ..features.sparse import SparseMatrix
from . import dgl_layers, native
from .dropout import Dropout
from .mlp import NORMS, Norm, dropped
from .native import Aggregated, Graph, Input
from .units import Units

Backend = Literal["dgl", "native"]
Jumping = Literal["none", "sum", "max"]


class GNN(nn.Module):
    r"""$H^{(l+1)} = \mathrm{dropout}(\mathrm{ReLU}(\mathrm{norm}(
    \mathrm{layer}^{(l)}(G, H^{(l)}) + H^{(l)} W_r^{(l)} + b_r^{(l)})))$.

    The last layer has no norm, ReLU or dropout. Heads of a layer are concatenated. The term of
    $W_r$ is there with `residual`, in every layer. With `jumping` knowledge (Xu et al., 2018) the
    last layer is like the others, and a linear map of the sum or the maximum of the outputs of all
    layers has the logits (Luo et al., 2024: "Classic GNNs are Strong Baselines").

    Args:
        widths: of $H^{(0)}$ to the output of the last layer.
        classes: of the logits, with `jumping`; else those are that output.
        input_dropout: of the features.
    """

    def __init__(
        self,
        layers: Iterable[nn.Module],
        widths: Sequence[int],
        dropout: float,
        backend: Backend,
        *,
        norm: Norm = "none",
        residual: bool = False,
        input_dropout: float = 0.0,
        jumping: Jumping = "none",
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.widths, self.norm, self.jumping = list(widths), norm, jumping
        self.dropout, self.input_dropout = Dropout(dropout), input_dropout
        self.backend = backend
        hidden = widths[1:-1] if jumping == "none" else widths[1:]
        self.norms = nn.ModuleList(NORMS[norm](width) for width in hidden)
        pairs = pairwise(widths) if residual else ()
        self.residuals = nn.ModuleList(nn.Linear(i, o) for i, o in pairs)
        self.head = None if jumping == "none" else nn.Linear(widths[-1], classes)
        self.units: Units | None = None

    def set_units(self, shift: Tensor, scale: Tensor) -> None:
        """Outputs in the units of labels of that mean and standard deviation, `[C]`."""
        self.units = Units(shift, scale)

    def forward(self, graph: Graph | Sequence[Graph], x: Input, hidden: bool = False) -> Any:
        """Features `[M, D]` to logits `[N, C]`.

        Args:
            graph: one for all layers, or sampled blocks, one for each. The native backend also
                takes a `CSRGraph`; a DGLGraph it converts at every call.
            x: of the graph's nodes, or of the first block's sources. The native backend also
                takes a `SparseMatrix`, or what `constant` made.
            hidden: also what gives the logits reads, `[N, H]`: the last layer, or jumping
                knowledge's head.
        """
        graphs = list(graph) if isinstance(graph, Sequence) else [graph] * len(self.layers)
        if self.backend == "native":
            converted = {id(g): native.csr(g) for g in graphs}
            graphs = [converted[id(g)] for g in graphs]
        if self.training and self.input_dropout:
            x = dropped(x, self.input_dropout)
        jumped: Tensor | None = None
        read: Input | None = x
        for k, g in enumerate(graphs):
            read = x
            x = h = self.layer(k, g, x)
            if self.head is not None:
                jumped = self.jump(jumped, h)
        if self.head is not None:
            read, h = jumped, self.of_head(jumped)
        return (h, read) if hidden else h

    def of_head(self, jumped: Tensor | None) -> Tensor:
        """What jumping knowledge ends in, `[N, C]`."""
        assert self.head is not None
        return self.in_units(self.head(jumped))

    def in_units(self, out: Tensor) -> Tensor:
        return out if self.units is None else self.units(out)

    def constant(self, graph: Graph, x: Input) -> Input:
        """Features, for calls on the same graph time and again: aggregated once and for all, where
        the first layer does that first, and no dropout comes before it."""
        first = self.layers[0]
        if self.input_dropout or not isinstance(first, native.Convolution):
            return x
        made = first.aggregated(graph, x)
        if self.residuals and isinstance(made, Aggregated) and isinstance(x, Tensor):
            return Aggregated(made.values, x)
        return made

    def layer(self, k: int, graph: Graph, x: Input) -> Tensor:
        """Layer k (from 0) alone: `[M, widths[k]]` to `[N, widths[k + 1]]`."""
        h = self.layers[k](graph, x).flatten(1)
        if self.residuals:
            h = h + _linear(self.residuals[k], x, len(h))
        return self.dropout(self.normed(k, h).relu()) if k < len(self.norms) else self.in_units(h)

    def normed(self, k: int, h: Tensor) -> Tensor:
        norm = self.norms[k]
        if self.training and len(h) == 1 and isinstance(norm, nn.BatchNorm1d):
            # One node of a sampled block has no variance; those of earlier ones are at hand.
            running = norm.running_mean, norm.running_var
            return batch_norm(h, *running, norm.weight, norm.bias, eps=norm.eps)
        return norm(h)

    def jump(self, jumped: Tensor | None, h: Tensor) -> Tensor:
        """What the layers so far hand to the head, `[M, width]`, with the next one's `[N, width]`:
        the first rows of a block's sources are its targets."""
        if jumped is None:
            return h
        jumped = jumped[: len(h)]
        return jumped + h if self.jumping == "sum" else torch.maximum(jumped, h)


def _linear(layer: Any, x: Input, rows: int) -> Tensor:
    """Of the first rows of a layer's input."""
    if isinstance(x, SparseMatrix):
        return (x @ layer.weight.T)[:rows] + layer.bias
    if isinstance(x, Aggregated):
        assert x.source is not None
        x = x.source
    return layer(x[:rows])


def around(config: TeacherConfig, classes: int) -> dict[str, Any]:
    """What of a `GNN` stands around its convolutions, by keyword."""
    return {
        "norm": config.norm,
        "residual": config.residual,
        "input_dropout": config.input_dropout,
        "jumping": config.jumping_knowledge,
        "classes": classes,
    }


def layer_widths(config: TeacherConfig, in_features: int, classes: int) -> list[int]:
    """Of a teacher's inputs and of what its layers give, the last one's being the logits unless
    their head is one of jumping knowledge."""
    last = classes if config.jumping_knowledge == "none" else config.hidden
    return [in_features, *[config.hidden] * (config.layers - 1), last]


def convolution(name: str, backend: Backend) -> type[nn.Module]:
    """The class of a layer: DGL's, or ours of the same name."""
    return getattr(dgl_layers if backend == "dgl" else native, name)
