r"""SIGN: a linear layer for each hop (Rossi et al., GRL+ 2020: "SIGN: Scalable Inception Graph
Neural Networks", equation 4)."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from .hops import hop_width
from .mlp import MLP


class SIGN(MLP):
    r"""$Z = \mathrm{dropout}(\mathrm{ReLU}(\mathrm{norm}(
    [X^{(0)}\Theta_0 \,\|\, \dots \,\|\, X^{(P)}\Theta_P])))$, then an MLP of the layers left.

    With two layers it is the paper's $\xi(Z\Omega)$, with biases. The authors' code has PReLU for
    the nonlinearity, which the paper leaves open; ours is ReLU.

    Args:
        in_features: (P + 1) D: inputs are `[n, (P + 1) D]`, hop after hop.
        hidden: columns of each $\Theta_k$, and width of the hidden layers after them.
        layers: 2 or more.
        hops: P; the rest is an `MLP`'s.

    Raises:
        InputError: fewer than two layers; `in_features` that are no multiple of P + 1.
    """

    name = "sign"

    def linear_layers(self, in_features: int) -> Iterator[nn.Module]:
        s, width = self.shape, hop_width(self.shape)
        if s["layers"] < 2:
            raise InputError(f"layers: sign needs 2 or more, found {s['layers']}")
        first = HopLinear(width, s["hidden"], s["hops"])
        yield first
        for i, o in pairwise(
            [first.out_features, *[s["hidden"]] * (s["layers"] - 2), s["classes"]]
        ):
            yield nn.Linear(i, o)

    @staticmethod
    def inner_width(shape: dict[str, Any]) -> int:
        width: int = shape["hidden"] * (shape["hops"] + shape["layers"] - 1)
        return width


class HopLinear(nn.ModuleList):
    """A linear layer for each of P + 1 hops: `[n, (P + 1) D]` to `[n, (P + 1) H]`."""

    def __init__(self, width: int, hidden: int, hops: int) -> None:
        super().__init__(nn.Linear(width, hidden) for _ in range(hops + 1))
        self.width, self.out_features = width, (hops + 1) * hidden

    def forward(self, x: Tensor) -> Tensor:
        parts = x.split(self.width, dim=1)
        return torch.cat([layer(part) for layer, part in zip(self, parts, strict=True)], dim=1)
