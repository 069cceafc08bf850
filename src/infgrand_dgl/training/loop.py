"""The one training loop: evaluated every epoch, best-validation weights kept.

On a GPU nothing in an epoch waits for it: losses and accuracies are read together, at its end.
"""

import logging
import random
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..config.schema import StudentConfig, TeacherConfig
from ..errors import InputError
from ..graph import dgl_bridge
from ..system.allocator import freed_memory_kept
from ..system.memory import Budget
from ..system.ranks import ALONE, Ranks
from .checkpoint import Checkpoint, Progress, interruptible
from .graphed import graphed

log = logging.getLogger(__name__)

Losses = Mapping[str, Tensor]  # "loss" is minimised, the others are only recorded
Accuracies = Mapping[str, Tensor]  # "val" decides
OnEpoch = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Surroundings:
    """Where a training runs.

    Args:
        device: of the model.
        budget: bytes it may take; what is free by default.
        ranks: the processes that train together.
        checkpoint: what it goes on from, and saves.
        scratch: a folder for targets that do not fit in memory.
    """

    device: torch.device
    budget: Budget | None = None
    ranks: Ranks = ALONE
    checkpoint: Checkpoint | None = None
    scratch: Path | None = None


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
    checkpoint: Checkpoint | None = None,
    ranks: Ranks = ALONE,
    repeats: bool = False,
) -> None:
    """Trains `model` and leaves it, in eval mode, with the weights of its best validation epoch.

    An epoch as good as the best counts as better. Training ends after `patience` epochs in a row
    that are not.

    Args:
        steps: the losses of an epoch's batches, one after the other: each is asked for when the
            weights have taken the step of the one before. Epochs count from 1.
        evaluate: accuracies in evaluation mode, without gradients, on the model's device.
        on_epoch: told the epoch, the mean losses of its steps and its accuracies.
        checkpoint: where to go on from, and what to save; an interrupt is heeded at the end of the
            epoch, when that is saved.
        ranks: the processes that train together; the first one's accuracies count.
        repeats: whether every epoch launches the same kernels on the same memory, drawing at random
            from torch's generator alone: a GPU then replays it (`graphed`).

    Raises:
        InputError: the loss is no longer finite.
        KeyboardInterrupt, SystemExit: on SIGINT and SIGTERM.
    """
    done = checkpoint.restore(model, optimizer) if checkpoint else Progress()

    def epoch() -> tuple[list[str], Tensor]:
        """What the history records of an epoch: names and values."""
        losses = _mean_losses(model, steps(done.epoch), optimizer, ranks)
        model.eval()
        with torch.no_grad():
            accuracies = evaluate()
        found = losses | {f"{name}_accuracy": value for name, value in accuracies.items()}
        return list(found), torch.stack([value.double() for value in found.values()])

    if repeats:
        epoch = graphed(epoch, optimizer, next(model.parameters()).device)
    with interruptible() as interrupted:
        while done.epoch < epochs and done.epoch - done.best_epoch < patience:
            done.epoch += 1
            names, values = epoch()
            recorded = dict(zip(names, ranks.tell(values.tolist()), strict=True))
            if not np.isfinite(recorded["loss"]):
                raise InputError(
                    f"training diverged in epoch {done.epoch}: the loss is {recorded['loss']}; "
                    "a lower lr may help"
                )
            on_epoch(done.epoch, recorded)
            if recorded["val_accuracy"] >= done.best_val:
                done.best_val, done.best_epoch = recorded["val_accuracy"], done.epoch
                done.best_state = {k: v.clone() for k, v in model.state_dict().items()}
            signalled = ranks.greatest(interrupted())
            if checkpoint and (signalled or checkpoint.due(done.epoch)):
                checkpoint.save(model, optimizer, done)
            if signalled == signal.SIGINT:
                raise KeyboardInterrupt
            if signalled:
                sys.exit(128 + signalled)
    log.info(
        "best epoch %d of %d: validation accuracy %.4f", done.best_epoch, done.epoch, done.best_val
    )
    model.load_state_dict(done.best_state)
    model.eval()
    optimizer.zero_grad(set_to_none=True)


def _mean_losses(
    model: nn.Module, losses: Iterable[Losses], optimizer: torch.optim.Optimizer, ranks: Ranks
) -> dict[str, Tensor]:
    """Steps along the losses; their means."""
    model.train()
    sums: dict[str, Tensor] = {}
    count = 0
    for batch in losses:
        optimizer.zero_grad(set_to_none=True)
        batch["loss"].backward()
        optimizer.step()
        count += 1
        for name, loss in batch.items():
            sums[name] = sums.get(name, 0) + loss.detach()
    total = ranks.sum(torch.stack([*sums.values()])).double() / (count * ranks.size)
    return dict(zip(sums, total, strict=True))


def adam(model: nn.Module, settings: TeacherConfig | StudentConfig) -> torch.optim.Adam:
    """The optimizer of teacher and student; L2 penalty, not decoupled, as the authors have it."""
    return torch.optim.Adam(
        model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True
    )


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of rows `[n, C]` whose largest logit is at the label `[n]`; float64 `[]`."""
    return (logits.argmax(dim=1) == labels).double().mean()


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    dgl_bridge.seed(seed)
