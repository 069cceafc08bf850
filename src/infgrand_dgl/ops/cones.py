"""Nearest axes and the scan of cones: what the certified minimum cosine is made of."""

import torch
from torch import Tensor

BLOCK = 1 << 24  # entries of the largest temporary, beside O(N) ones


def nearest_axis_reference(rows: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    """For each row the axis with the largest inner product, and the distance to it."""
    owners, distances = [], []
    for part in rows.split(max(1, BLOCK // max(axes.shape))):
        owner = (part @ axes.T).argmax(dim=1)
        owners.append(owner)
        distances.append(torch.linalg.vector_norm(part - axes[owner], dim=1))
    return torch.cat(owners), torch.cat(distances)
