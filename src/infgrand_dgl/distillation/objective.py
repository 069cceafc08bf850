"""What a method gets, and what it makes of it: a loss that is a sum over nodes.

As a sum it goes by batches, over processes and from files, whatever the method.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from ..config import Config
from ..data import NodeDataset
from ..graph import CSRGraph
from ..system.arrays import new_array
from ..system.kept import kept
from ..system.runtime import Runtime
from .consistency import Consistency
from .loss import DistillationLoss, supervised_loss
from .tasks import DIVERGENCES, TASKS, LearningTask
from .views import ONE_VIEW, Views

Rows: TypeAlias = dict[str, Any]  # Tensor, SparseMatrix or PropagatedMatrix, [n, ...]


@dataclass(frozen=True)
class Lesson:
    """What there is to learn from.

    Args:
        view: what training may see; ids and rows below are its own.
        influence: $I_g$, `[N]`; None where the method needs none.
        logits: the teacher's, `[N, C]`, possibly memory-mapped; likewise.
        runtime: where the student trains.
        seed: of the training.
        hidden: what the teacher's last layer reads, `[N, H]`, and
        perturbed: its logits of features with noise, `[N, C]`; of methods that name them.
    """

    config: Config
    view: NodeDataset
    influence: Tensor | None
    logits: Tensor | None
    runtime: Runtime
    seed: int = 0
    hidden: Tensor | None = None
    perturbed: Tensor | None = None

    @cached_property
    def task(self) -> LearningTask:
        """What the labels are, and the error of an output."""
        return TASKS[self.view.task](self.config, self.view, self.runtime.device)


@dataclass(frozen=True)
class Student:
    """A student in a training step: of features `[b, D]` the logits, at least float32 `[b, C]`.

    Args:
        together: by all processes together: what gradients of the weights are taken of.
        alone: by this one: what other gradients are.

    Both take `hidden=True`, and give with the logits what the last layer's norm reads, `[b, H]`.
    """

    together: Callable[..., Any]
    alone: Callable[..., Any]

    def __call__(self, x: Any, **options: Any) -> Any:
        return self.together(x, **options)


@dataclass(frozen=True)
class Objective:
    """A loss that is a sum over nodes.

    Args:
        rows: what the loss needs of each node, `[n, ...]` each.
        losses: from the student in training and the rows of some nodes, their inputs `x` among
            them, their part of "loss", which is minimised, and of the terms that the history
            records. It must not wait for a GPU: no mask that makes a shape, no number read.
        nodes: the nodes of the rows, int64 `[n]`; None: all.
        all_at_once: the setting that takes all nodes in one step, in order; none: "".
        reads_inputs: whether `x` is read at all.
        renewed: before an epoch, from its number (from 1) and a function that gives the student's
            logits of the rows' nodes, at least float32 `[n, C]` on its device: new values of some
            of the rows. It draws at random by epoch and seed alone, so that a training goes on from
            a checkpoint as if it had not been interrupted, on every process alike.
        module: parameters that are trained with the student and buffers that checkpoints have.
        copies: dense float32 ones of a step's inputs, `[b, D]`, that `losses` holds.
    """

    rows: Rows
    losses: Callable[[Student, Rows], dict[str, Tensor]]
    nodes: Tensor | None = None
    all_at_once: str = ""
    reads_inputs: bool = True
    renewed: Callable[[int, Callable[[], Tensor]], Rows] | None = None
    module: nn.Module | None = None
    copies: int = 0


class Distillation(Protocol):
    """L_d of a student's logits, as `DistillationLoss` is; where the form is collapsed, of some
    nodes' logits with their rows of `per_node`."""

    @property
    def form(self) -> str: ...
    @property
    def __call__(self) -> Callable[..., Tensor]: ...
    def per_node(self) -> dict[str, Tensor]: ...


def distilling(
    lesson: Lesson,
    distillation: Distillation | None,
    influence: Tensor,
    delta1: float,
    delta2: float,
    *,
    augmented: bool = False,
) -> Objective:
    r"""$L = \lambda L_s + (1 - \lambda) L_d + \mu L_c$ (InfGraND: "The Complete Objective", and
    GRAND's consistency), $L_s$ and $L_d$ the means over the views that the student reads.

    Args:
        distillation: $L_d$; None: there is none, and $\lambda$ is 1.
        influence: $I_g$ in $L_s$, `[N]`.
        augmented: with the sections `random_propagation` and `consistency`; else the student reads
            its inputs, once, and $\mu$ is 0.
    """
    config, view, errors = lesson.config, lesson.view, lesson.task.errors
    views, consistency, device = ONE_VIEW, None, lesson.runtime.device
    if augmented:
        views = Views.of(config, view, lesson.runtime, lesson.seed)
    if augmented and config.consistency.weight:
        consistency = Consistency(config.consistency, view.task, view.num_nodes, device)
    lambda_ = 1.0 if distillation is None else config.distillation.lambda_
    rows: Rows = {"labels": lesson.task.training_labels(view), "influence": influence.float()}
    collapsed = distillation is None or distillation.form == "collapsed"
    all_at_once = "" if collapsed else f"distillation.loss: {config.distillation.loss}"
    if distillation is not None and collapsed:
        rows |= distillation.per_node()

    def supervised(logits: Tensor, batch: Rows) -> Tensor:
        return supervised_loss(
            logits,
            batch["labels"],
            batch["influence"],
            delta1=delta1,
            delta2=delta2,
            count=len(view.train),
            errors=errors,
        )

    def losses(student: Student, batch: Rows) -> dict[str, Tensor]:
        logits = views.logits(student, batch)
        terms = {"supervised_loss": mean([supervised(z, batch) for z in logits])}
        loss = lambda_ * terms["supervised_loss"]
        if distillation is not None:
            constant = (batch["targets"], batch["own"]) if collapsed else ()
            terms["distillation_loss"] = mean([distillation(z, *constant) for z in logits])
            loss = loss + (1 - lambda_) * terms["distillation_loss"]
        if consistency is not None:
            terms["consistency_loss"] = consistency(logits)
            loss = loss + consistency.weight * terms["consistency_loss"]
        return {"loss": loss, **terms}

    def renewed(epoch: int, _: Callable[[], Tensor]) -> Rows:
        if consistency is not None:
            consistency.begin(epoch)
        return views.of_epoch(epoch)

    changes = views.random is not None or (consistency is not None and consistency.grows)
    return Objective(
        rows | views.rows,
        losses,
        all_at_once=all_at_once,
        reads_inputs=views.random is None,
        renewed=renewed if changes else None,
    )


def mean(values: list[Tensor]) -> Tensor:
    """Of scalars; of one itself."""
    return values[0] if len(values) == 1 else torch.stack(values).mean()


def distillation_loss(
    lesson: Lesson, csr: CSRGraph, influence: Tensor, **settings: Any
) -> DistillationLoss:
    """$L_d$ over a graph, its targets in memory or in a file.

    Args:
        settings: of `DistillationLoss`; tau and form are by default the configuration's.
    """
    d, runtime, logits = lesson.config.distillation, lesson.runtime, lesson.logits
    assert logits is not None
    budget = runtime.budget
    N, C = logits.shape
    task, units = lesson.view.task, lesson.task.units
    settings = {"tau": d.tau, "form": d.loss} | settings
    settings |= {"task": task, "scale": units and units[1]}
    # The aggregated matrix and its sums, and what the product and each row hold beside.
    beside, bytes_per_class = 256 * N, DIVERGENCES[task].bytes_per_class
    if settings["form"] != "collapsed" or budget.fits_on(
        runtime.device, bytes_per_class * N * C + beside
    ):
        graph = kept(csr, runtime.device)
        return DistillationLoss(graph, logits.to(runtime.device), influence, **settings)
    out = None
    if budget.left() < bytes_per_class * N * C and runtime.scratch is not None:
        out = new_array(runtime.scratch / f"targets-{runtime.ranks.rank}.npy", (N, C))
    per_column = (bytes_per_class - 4) * N  # without the targets
    columns = max(1, min(C, (budget.left() - beside) // per_column))
    made = DistillationLoss(csr, logits, influence, columns=columns, out=out, **settings)
    made.divergence.to(runtime.device)
    return made
