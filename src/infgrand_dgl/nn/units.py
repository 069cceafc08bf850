"""Numbers in their own units, from a last layer whose outputs have mean 0 and variance 1."""

import torch
from torch import Tensor, nn


class Units(nn.Module):
    r"""$h = \mathrm{shift} + \mathrm{scale}\,x$, by columns; both are fixed.

    Args:
        shift, scale: float32 `[C]`.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, shift: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("shift", shift.clone())
        self.register_buffer("scale", scale.clone())

    def forward(self, x: Tensor) -> Tensor:
        """`[n, C]`, at least float32."""
        return torch.addcmul(self.shift, self.scale, x.to(self.scale.dtype))
