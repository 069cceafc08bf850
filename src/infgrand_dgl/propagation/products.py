r"""Views inside the student's first layer (`random_propagation.of: products`).

Propagation acts on nodes, the first layer $W$ on columns, and both are linear:

$$\mathrm{POOL}(\{\tilde A^p (m_s \odot X)\}_{p=0}^P)\,W =
  \mathrm{POOL}(\{\tilde A^p (m_s \odot X W)\}_{p=0}^P)$$

under mean pooling, or of the last hop. The right side propagates H columns instead of D, and reads
X as it is stored: on Cora, with 1,433 sparse features and 32 hidden units, a fraction of the work.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..config.schema import Config
from ..data.dataset import NodeDataset
from ..features.sparse import SparseMatrix, first_layer_input
from ..system.kept import kept
from ..system.runtime import Runtime
from .equation import Propagation
from .memory import matrix_needs
from .random import MaskedPropagation


class RandomProducts:
    r"""What makes of X W a view of it, under a mask that is drawn anew for each.

    Masks are drawn by torch's generator of the device, as dropout is.

    Args:
        view: what training may see.

    Attributes:
        x: X as a first layer takes it, `[N, D]`.

    Raises:
        InputError: the budget has no room for X.
    """

    def __init__(self, config: Config, view: NodeDataset, runtime: Runtime) -> None:
        p, device = config.propagation, runtime.device
        self.delta = config.random_propagation.mask
        self.propagation = Propagation(p.hops, p.self_loop_weight, p.pooling)
        runtime.budget.require("propagate products in training", *matrix_needs(view, device, 1))
        self.csr = kept(view.csr, device)
        x = kept(view.features, device)
        self.x: Tensor | SparseMatrix = first_layer_input(x, device, config.train.inputs)

    def __call__(self, products: Tensor) -> Tensor:
        r"""$\mathrm{POOL}(\{\tilde A^p (m \odot X W)\})$ of $X W$, `[N, H]`."""
        if not self.delta:
            return self.whole(products)
        mask = torch.rand(products.shape[0], device=products.device) >= self.delta
        p = self.propagation
        masked = MaskedPropagation(p.hops, p.self_loop_weight, p.pooling, mask=mask)
        return masked.of(self.csr, products)

    def whole(self, products: Tensor) -> Tensor:
        r"""$\tilde X W$ of $X W$, `[N, H]`."""
        return self.propagation.of(self.csr, products)
