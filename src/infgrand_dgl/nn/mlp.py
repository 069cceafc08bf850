"""The student: a multi-layer perceptron that needs neither DGL nor a graph."""

from itertools import pairwise
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from .dropout import Dropout
from .units import Units

Norm = Literal["none", "batch", "layer"]
NORMS: dict[str, type[nn.Module]] = {
    "none": nn.Identity,  # it takes and ignores a width
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
}


class Multiplied(Protocol):
    """A matrix that is no tensor (`SparseMatrix`, of which serving knows nothing)."""

    def __matmul__(self, weight: Tensor) -> Tensor: ...


class MLP(nn.Module):
    r"""$h^{(l+1)} = \mathrm{dropout}(\mathrm{ReLU}(\mathrm{norm}(W^{(l)} h^{(l)} + b^{(l)})))$.

    The last layer is linear alone. With `units` what it gives is shifted and scaled (`Units`).
    """

    def __init__(
        self,
        in_features: int,
        hidden: int,
        classes: int,
        *,
        layers: int,
        dropout: float = 0.0,
        norm: Norm = "none",
        units: bool = False,
    ) -> None:
        super().__init__()
        self.shape: dict[str, Any] = {
            "in_features": in_features,
            "hidden": hidden,
            "classes": classes,
            "layers": layers,
            "norm": norm,
        }
        widths = [in_features, *[hidden] * (layers - 1), classes]
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(widths))
        self.norms = nn.ModuleList(NORMS[norm](width) for width in widths[1:-1])
        self.dropout = Dropout(dropout)
        self.units: Units | None = None
        if units:  # what a file has, or `set_units`, fills them
            self.set_units(torch.zeros(classes), torch.ones(classes))

    def set_units(self, shift: Tensor, scale: Tensor) -> None:
        """Outputs in the units of labels of that mean and standard deviation, `[C]`."""
        self.units, self.shape["units"] = Units(shift, scale), True

    def forward(self, x: Tensor | Multiplied) -> Tensor:
        """Features `[n, D]`, dense or `SparseMatrix`, to logits or numbers `[n, C]`."""
        for layer, norm in zip(self.layers, self.norms, strict=False):
            x = self.dropout(norm(_linear(layer, x)).relu())
        out = _linear(self.layers[-1], x)
        return out if self.units is None else self.units(out)


def _linear(layer: nn.Module, x: Tensor | Multiplied) -> Tensor:
    return layer(x) if isinstance(x, Tensor) else x @ layer.weight.T + layer.bias  # type: ignore[operator]
