"""The one training loop: evaluated every epoch, best-validation weights kept.

On a GPU nothing in an epoch waits for it: losses and metrics are read together, at its end.
"""

import logging
import random
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..config.fields import Precision
from ..errors import InputError
from ..system.allocator import freed_memory_kept
from ..system.precision import forward_in
from ..system.ranks import ALONE, Ranks
from ..system.runtime import Runtime
from .averaging import Average
from .checkpoint import Checkpoint, TrainingState
from .graphed import graphed
from .interrupts import interruptible, obey
from .metrics import METRICS

log = logging.getLogger(__name__)


class DivergedError(InputError):
    """Whose model it is, is for the caller to say."""


Losses = Mapping[str, Tensor]  # "loss" is minimised, the others are only recorded
OnEpoch = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Task:
    """What a model does in an epoch.

    Args:
        steps: (epoch, from 1) to the losses of its batches, one after the other: each is asked for
            when the weights have taken the step of the one before.
        evaluate: the validation nodes' metric, float `[]` on the model's device, in evaluation mode
            and without gradients. Test nodes are not looked at before the training has ended.
        metric: of `METRICS`.
        repeats: whether every epoch launches the same kernels on the same memory, drawing at random
            from torch's generator alone: a GPU then replays it (`graphed`).
    """

    steps: Callable[[int], Iterable[Losses]]
    evaluate: Callable[[], Tensor]
    metric: str = "accuracy"
    repeats: bool = False


@freed_memory_kept()
def fit(
    model: nn.Module,
    task: Task,
    *,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    patience: int,
    on_epoch: OnEpoch,
    checkpoint: Checkpoint | None = None,
    ranks: Ranks = ALONE,
    ema: float = 0.0,
) -> None:
    """Trains `model` and leaves it, in eval mode, with the weights of its best validation epoch.

    An epoch as good as the best counts as better. Training ends after `patience` epochs in a row
    that are not.

    Args:
        on_epoch: gets the epoch, the mean losses of its steps and its validation metric.
        checkpoint: where to go on from, and what to save; an interrupt is heeded at the end of the
            epoch, when that is saved.
        ranks: the processes that train together; the first one's metrics count.
        ema: the decay of an average of the weights, which is evaluated and left; 0: there is none.

    Raises:
        DivergedError: the loss is no longer finite, or the validation metric is no number.
        KeyboardInterrupt, SystemExit: on SIGINT and SIGTERM.
    """
    average = Average(model, optimizer, ema) if ema else None
    evaluated = average.in_place if average is not None else nullcontext
    state = checkpoint.restore(model, optimizer) if checkpoint else TrainingState()
    metric = METRICS[task.metric]

    def epoch() -> tuple[list[str], Tensor]:
        return _epoch(model, task, state.epoch, optimizer, ranks, evaluated)

    if task.repeats:
        epoch = graphed(epoch, optimizer, next(model.parameters()).device)
    with interruptible() as interrupted:
        while state.epoch < epochs and state.epoch - state.best_epoch < patience:
            state.epoch += 1
            names, values = epoch()
            recorded = dict(zip(names, ranks.tell(values.tolist()), strict=True))
            loss, val = recorded["loss"], recorded[f"val_{task.metric}"]
            wrong = "" if np.isfinite(loss) else f"the loss is {loss}"
            if not wrong and np.isnan(val):
                wrong = f"validation {metric.label} is {val}"
            if wrong:
                raise DivergedError(
                    f"training diverged in epoch {state.epoch}: {wrong}; a lower lr may help"
                )
            on_epoch(state.epoch, recorded)
            with evaluated():
                state.record(model, metric.sign * val)
            signalled = ranks.greatest(interrupted())
            if checkpoint and (signalled or checkpoint.due(state.epoch)):
                checkpoint.save(model, optimizer, state)
            obey(signalled)
    best = state.best_epoch, state.epoch, metric.label, metric.sign * state.best_val
    log.info("best epoch %d of %d: validation %s %.4f", *best)
    model.load_state_dict(state.best_state)
    if average is not None:
        average.leave(model)
    model.eval()
    optimizer.zero_grad(set_to_none=True)


def _epoch(
    model: nn.Module,
    task: Task,
    number: int,
    optimizer: torch.optim.Optimizer,
    ranks: Ranks,
    evaluated: Callable[[], AbstractContextManager[None]],
) -> tuple[list[str], Tensor]:
    """Trains and evaluates; names and values that the history records, which stay on the device."""
    losses = _mean_losses(model, task.steps(number), optimizer, ranks)
    model.eval()
    with torch.no_grad(), evaluated():
        recorded = {**losses, f"val_{task.metric}": task.evaluate()}
    return list(recorded), torch.stack([value.double() for value in recorded.values()])


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


def forwards(
    model: nn.Module, precision: Precision, runtime: Runtime
) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """The model's forward for training, by all processes together, and for evaluation, by one."""
    together = DistributedDataParallel(model) if runtime.ranks.size > 1 else model
    return (
        forward_in(precision, together, runtime.device),
        forward_in(precision, model, runtime.device),
    )


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    if dgl := sys.modules.get("dgl"):  # which is not imported for that
        dgl.seed(seed)
