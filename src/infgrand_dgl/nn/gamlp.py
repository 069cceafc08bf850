r"""GAMLP with JK attention (Zhang et al., KDD 2022: "Graph Attention Multi-Layer Perceptron")."""

from typing import Any

import torch
from torch import Tensor, nn

from .hops import hop_width
from .mlp import MLP, Multiplied


class GAMLP(MLP):
    r"""Every node weighs its own hops (section 4.2, "JK attention"); an MLP reads their sum.

    $$E = \mathrm{dropout}(\mathrm{ReLU}(W[X^{(0)} \| \dots \| X^{(P)}] + b)),\quad
      w_i = \mathrm{softmax}_k\,\delta(s \cdot [E_i \,\|\, X_i^{(k)}]),\quad
      H_i = \sum_k w_{ik}\,X_i^{(k)}$$

    with $\delta$ the sigmoid, as in the paper; the authors' code has others to choose from. It can
    also send each hop through an MLP of its own first, and add a residual of hop 0 and propagated
    labels, which the paper's equations have not; nor have we.

    Args:
        in_features: (P + 1) D: inputs are `[n, (P + 1) D]`, hop after hop.
        hidden: width of $E$ and of the MLP's hidden layers.
        layers: of the MLP.
        hops: P; the rest is an `MLP`'s.

    Raises:
        InputError: `in_features` that are no multiple of P + 1.
    """

    name = "gamlp"

    def __init__(
        self, in_features: int, hidden: int, classes: int, *, hops: int, **options: Any
    ) -> None:
        super().__init__(in_features, hidden, classes, hops=hops, **options)
        self.reference = nn.Linear(in_features, hidden)
        self.attention = nn.Linear(hidden + hop_width(self.shape), 1)  # s

    def linear_layers(self, in_features: int) -> Any:
        return super().linear_layers(hop_width(self.shape))

    @staticmethod
    def inner_width(shape: dict[str, Any]) -> int:
        hops: int = shape["hops"] + 1
        return MLP.inner_width(shape) + shape["hidden"] + hop_width(shape) + 2 * hops

    def read(self, x: Tensor | Multiplied) -> Tensor:
        """$H$, `[n, D]`, of what an MLP would read."""
        x = super().read(x)
        assert isinstance(x, Tensor)
        reference = self.dropout(self.reference(x).relu())
        hops = x.unflatten(1, (self.shape["hops"] + 1, -1))
        # s·[E ‖ X] is a sum of two, so that E need not be repeated.
        of_reference, of_hops = self.attention.weight.split([reference.shape[1], hops.shape[2]], 1)
        scores = nn.functional.linear(reference, of_reference, self.attention.bias)
        scores = scores + (hops @ of_hops.T).squeeze(2)
        weights = scores.sigmoid().softmax(dim=1)
        return torch.einsum("nk,nkd->nd", weights, hops)
