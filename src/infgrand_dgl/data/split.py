"""What a split is; it is chosen or drawn in `splits`, and read in `masks`."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

PARTS = ("train", "val", "test")  # as files and masks are named


@dataclass(frozen=True)
class Split:
    """Node ids, int64.

    Transductive: `observed` is None, every node is. Inductive: training sees the subgraph of
    `observed` alone, `test` holds the hidden nodes and `test_observed` the other test nodes.
    """

    train: Tensor
    val: Tensor
    test: Tensor
    test_observed: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    observed: Tensor | None = None
