"""Weights of the classes in cross-entropies: `train.class_weights`."""

import torch
from torch import Tensor

from ..config import Config
from ..data import NodeDataset


def class_weights(config: Config, view: NodeDataset) -> Tensor | None:
    r"""$w_c = n / (C' n_c)$, float32 `[C]`, of $n_c$ training nodes of class c, n in all.

    C' is the number of classes that have some; the others weigh nothing. The mean weight of a
    training node is then 1. None where all weigh alike.
    """
    if config.train.class_weights == "none":
        return None
    counts = view.labels[view.train].bincount(minlength=view.num_classes)
    weights = len(view.train) / ((counts > 0).sum() * counts.clamp(min=1))
    return torch.where(counts > 0, weights, 0.0)
