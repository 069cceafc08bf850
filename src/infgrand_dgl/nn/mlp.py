"""A multi-layer perceptron, which needs neither DGL nor a graph: the student, or the end of one."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from .dropout import Dropout, dropout
from .units import Units

Norm = Literal["none", "batch", "layer"]
NORMS: dict[str, type[nn.Module]] = {
    "none": nn.Identity,  # it takes and ignores a width
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
}


class Multiplied(Protocol):
    """A matrix that is no tensor (`SparseMatrix`, `PropagatedMatrix`; serving knows of neither)."""

    values: Tensor

    def __matmul__(self, weight: Tensor) -> Tensor: ...

    def with_values(self, values: Tensor) -> "Multiplied": ...


class MLP(nn.Module):
    r"""$h^{(l+1)} = \mathrm{dropout}(\mathrm{ReLU}(\mathrm{norm}(W^{(l)} h^{(l)} + b^{(l)})))$.

    The last layer is linear alone. With `units` what it gives is shifted and scaled (`Units`).

    Args:
        input_dropout: of the features.
        kept: outside of training the features are multiplied by it, where random propagation kept
            that share of them in training (GRAND: Feng et al., NeurIPS 2020, section 3.1).
        hops: P, of students whose input is X^(0) to X^(P) side by side.
    """

    name = "mlp"

    def __init__(
        self,
        in_features: int,
        hidden: int,
        classes: int,
        *,
        layers: int,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        norm: Norm = "none",
        units: bool = False,
        kept: float = 1.0,
        hops: int | None = None,
    ) -> None:
        super().__init__()
        self.shape: dict[str, Any] = {
            "in_features": in_features,
            "hidden": hidden,
            "classes": classes,
            "layers": layers,
            "norm": norm,
        }
        if kept != 1:
            self.shape["kept"] = kept
        if hops is not None:
            self.shape |= {"model": self.name, "hops": hops}
        self.layers = nn.ModuleList(self.linear_layers(in_features))
        self.norms = nn.ModuleList(NORMS[norm](layer.out_features) for layer in self.layers[:-1])
        self.dropout, self.input_dropout, self.kept = Dropout(dropout), input_dropout, kept
        self.units: Units | None = None
        if units:  # what a file has, or `set_units`, fills them
            self.set_units(torch.zeros(classes), torch.ones(classes))

    def linear_layers(self, in_features: int) -> Iterator[nn.Module]:
        """Those of a perceptron of the `shape` that reads so many features."""
        s = self.shape
        widths = [in_features, *[s["hidden"]] * (s["layers"] - 1), s["classes"]]
        return (nn.Linear(i, o) for i, o in pairwise(widths))

    @staticmethod
    def inner_width(shape: dict[str, Any]) -> int:
        """Numbers that a student of that shape makes of a node before its outputs."""
        width: int = shape["hidden"] * (shape["layers"] - 1)
        return width

    def set_units(self, shift: Tensor, scale: Tensor) -> None:
        """Outputs in the units of labels of that mean and standard deviation, `[C]`."""
        self.units, self.shape["units"] = Units(shift, scale), True

    def forward(self, x: Tensor | Multiplied, hidden: bool = False) -> Any:
        """Features `[n, D]`, dense or multiplied, to logits or numbers `[n, C]`.

        Args:
            hidden: also what the last norm reads, `[n, H]`; of a linear student the logits.
        """
        h = None
        x = self.read(x)
        for layer, norm in zip(self.layers, self.norms, strict=False):
            h = _linear(layer, x)
            x = self.dropout(norm(h).relu())
        out = _linear(self.layers[-1], x)
        out = out if self.units is None else self.units(out)
        return (out, out if h is None else h) if hidden else out

    def read(self, x: Tensor | Multiplied) -> Tensor | Multiplied:
        """The features as the first layer takes them."""
        if not self.training:
            return x if self.kept == 1 else _scaled(x, self.kept)
        return dropped(x, self.input_dropout) if self.input_dropout else x


def _linear(layer: Any, x: Tensor | Multiplied) -> Tensor:
    out: Tensor = layer(x) if isinstance(x, Tensor) else x @ layer.weight.T + layer.bias
    return out


def dropped(x: Any, p: float) -> Any:
    """Dropout of features; a dropped zero stays zero."""
    if isinstance(x, Tensor):
        return dropout(x, p, True)
    return x.with_values(dropout(x.values, p, True))


def _scaled(x: Tensor | Multiplied, factor: float) -> Tensor | Multiplied:
    return x * factor if isinstance(x, Tensor) else x.with_values(x.values * factor)
