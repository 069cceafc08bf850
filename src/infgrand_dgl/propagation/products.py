r"""Propagation inside the student's first layer (`propagation.of: products`).

Propagation acts on nodes, the first layer $W$ on columns, and both are linear:

$$\mathrm{POOL}(\{\tilde A^p X\}_{p=0}^P)\,W = \mathrm{POOL}(\{\tilde A^p (X W)\}_{p=0}^P)$$

under mean pooling, or of the last hop, and so for random views with $m_s \odot X$ in the place of
X. The right side propagates H columns instead of D, and reads X as it is stored: on Cora, with
1,433 sparse features and 32 hidden units, a fraction of the work.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..config.schema import Config
from ..data.dataset import NodeDataset
from ..errors import InputError
from ..features.sparse import SparseMatrix, first_layer_input
from ..graph.csr import CSRGraph
from ..system.kept import kept
from ..system.runtime import Runtime
from .equation import Propagation
from .inputs import propagation_of
from .memory import matrix_needs
from .random import MaskedPropagation


def inside(config: Config) -> Config:
    """The same with propagation inside the student; as it is, where that cannot be had."""
    try:
        return config.replace("propagation", of="products")
    except InputError:
        return config


@dataclass(frozen=True, eq=False)
class PropagatedMatrix:
    r"""$\tilde X$, `[N, D]`, as an input of a first layer: it is multiplied and never made.

    Args:
        x: X as a first layer takes it, `[N, D]`, on the graph's device.
        nodes: whose rows it has, int64 `[n]`; None: all. Rows of some cost as much as of all.
        delta: it is of $m \odot X$, with $m_i \sim \mathrm{Bernoulli}(1 - \delta)$ drawn anew for
            every product, as dropout is, by torch's generator of the device.
    """

    csr: CSRGraph
    x: Tensor | SparseMatrix
    propagation: Propagation
    nodes: Tensor | None = None
    delta: float = 0.0

    @classmethod
    def of(cls, config: Config, view: NodeDataset, runtime: Runtime) -> PropagatedMatrix:
        """What the configuration's student reads of a dataset.

        Raises:
            InputError: the budget has no room for X.
        """
        device = runtime.device
        runtime.budget.require("propagate products in training", *matrix_needs(view, device, 1))
        x = first_layer_input(kept(view.features, device), device, config.train.inputs)
        return cls(kept(view.csr, device), x, propagation_of(config))

    @property
    def shape(self) -> tuple[int, int]:
        return self.x.shape[0] if self.nodes is None else len(self.nodes), self.x.shape[1]

    @property
    def device(self) -> torch.device:
        return self.x.device

    @property
    def values(self) -> Tensor:
        """Of X: of a sparse one those of its entries."""
        return self.x if isinstance(self.x, Tensor) else self.x.values

    def with_values(self, values: Tensor) -> PropagatedMatrix:
        return replace(self, x=values if isinstance(self.x, Tensor) else self.x.with_values(values))

    def masked(self, delta: float) -> PropagatedMatrix:
        return replace(self, delta=delta)

    def __matmul__(self, weight: Tensor) -> Tensor:
        """Times a dense `[D, K]`, with respect to which it is differentiable."""
        products, p = self.x @ weight, self.propagation
        if self.delta:
            mask = torch.rand(len(products), device=products.device) >= self.delta
            p = MaskedPropagation(p.hops, p.self_loop_weight, p.pooling, mask=mask)
        out = p.of(self.csr, products)
        return out if self.nodes is None else out[self.nodes]

    def __getitem__(self, rows: Tensor) -> PropagatedMatrix:
        """The rows of the ids, int64 `[n]`."""
        return replace(self, nodes=rows if self.nodes is None else self.nodes[rows])

    def to(self, *_: Any, **__: Any) -> PropagatedMatrix:
        """Itself: it lies where it is multiplied."""
        return self
