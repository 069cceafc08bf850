"""Dropout whose mask takes 16 random bits per entry.

torch's CPU kernel draws 64 bits per entry, one after the other, on processors that are not Intel's;
there it costs as much as the matrix products around it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Drops every entry with probability p, in 65536ths, and scales the others to keep the mean.

    Args:
        x: floating point, of any shape.
        p: in [0, 1).
    """
    if not training or p == 0:
        return x
    if x.device.type != "cpu":
        return functional.dropout(x, p)
    dropped = min(round(p * 65536), 65535)
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(1 << 63), None)
    kept = bits.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - 32768
    return x * kept.to(x.dtype).mul_(65536 / (65536 - dropped))


class Dropout(nn.Module):
    """`dropout` in training mode."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
