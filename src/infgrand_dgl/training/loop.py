"""The one training loop: evaluated every epoch, best-validation weights kept."""

import logging
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import _dgl
from ..allocator import freed_memory_kept
from ..config import StudentConfig, TeacherConfig
from ..errors import InputError

log = logging.getLogger(__name__)

Losses = Mapping[str, Tensor]  # "loss" is minimised, the others are only recorded
Accuracies = Mapping[str, float]  # "val" decides
OnEpoch = Callable[[int, Mapping[str, float]], None]


@freed_memory_kept()
def fit(
    model: nn.Module,
    *,
    steps: Callable[[int], Iterable[Losses]],
    evaluate: Callable[[], Accuracies],
    optimizer: torch.optim.Optimizer,
    epochs: int,
    patience: int,
    on_epoch: OnEpoch,
    checkpoint: Any = None,
) -> None:
    """Trains `model` and leaves it, in eval mode, with the weights of its best validation epoch.

    An epoch as good as the best counts as better. Training ends after `patience` epochs in a row
    that are not.

    Args:
        steps: told the epoch (from 1), yields the losses of one batch after another, by forward
            passes in training mode; the mean over the batches is recorded.
        evaluate: accuracies in evaluation mode, without gradients.
        on_epoch: told the epoch (from 1), its losses and accuracies.

    Raises:
        InputError: the loss is no longer finite.
    """
    best_val, best_epoch, best_state = -1.0, 0, {}
    for epoch in range(1, epochs + 1):
        model.train()
        batches: list[dict[str, Tensor]] = []
        for losses in steps(epoch):
            optimizer.zero_grad(set_to_none=True)
            losses["loss"].backward()
            optimizer.step()
            batches.append({name: loss.detach() for name, loss in losses.items()})

        model.eval()
        with torch.no_grad():
            accuracies = evaluate()
        recorded = {
            name: float(torch.stack([batch[name] for batch in batches]).mean())
            for name in batches[0]
        }
        if not np.isfinite(recorded["loss"]):
            raise InputError(
                f"training diverged in epoch {epoch}: the loss is {recorded['loss']}; "
                "a lower lr may help"
            )
        on_epoch(epoch, {**recorded, **{f"{k}_accuracy": v for k, v in accuracies.items()}})
        if accuracies["val"] >= best_val:
            best_val, best_epoch = accuracies["val"], epoch
            best_state = {k: v.clone() for k, v in model.state_dict().items()}
        elif epoch - best_epoch >= patience:
            break
    log.info("best epoch %d of %d: validation accuracy %.4f", best_epoch, epoch, best_val)
    model.load_state_dict(best_state)
    model.eval()


def adam(model: nn.Module, settings: TeacherConfig | StudentConfig) -> torch.optim.Adam:
    """The optimizer of teacher and student; L2 penalty, not decoupled, as the authors have it."""
    return torch.optim.Adam(
        model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True
    )


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of rows `[n, C]` whose largest logit is at the label `[n]`."""
    return float((logits.argmax(dim=1) == labels).double().mean())


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    _dgl.seed(seed)
