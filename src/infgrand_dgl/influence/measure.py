r"""What every measure of influence gets, and how its values are normalized."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..config.fields import Task
from ..data.labels import labelled
from ..errors import InputError, check_shape
from ..graph import CSRGraph
from ..registry import Measure

Normalization = Literal["minmax", "max", "none"]


@dataclass(frozen=True)
class Inputs:
    """What the scores of a graph's nodes are made of.

    Args:
        csr: the paper's graph.
        hops, self_loop_weight: k and w of Ã^k.
        normalization: as in `normalized`.
        features: $X$, `[N, D]`, dense or sparse CSR.
        logits: the teacher's, `[N, C]` on the device of `csr`, for a measure that needs them.
        cosine: the cosine's normalized scores, float32 `[N]`, likewise.
        mix: the cosine's share in a convex mix; None: a product (hybrid).
        task: of which logits and labels are.
        labels: of the nodes that train, as a `NodeDataset` has them, on the device of `csr`; others
            have none. Of a measure that needs them.
    """

    csr: CSRGraph
    hops: int
    self_loop_weight: float
    normalization: Normalization
    features: Tensor
    logits: Tensor | None = None
    cosine: Tensor | None = None
    mix: float | None = None
    task: Task = "classification"
    labels: Tensor | None = None


@torch.no_grad()
def measured(measure: Measure, inputs: Inputs) -> Tensor:
    """The scores of a measure, float32 `[N]`.

    Raises:
        InputError: no logits or labels, or some of another length, where the measure needs them; a
            task that it does not have.
    """
    check_task(measure, inputs.task)
    if measure.needs_teacher:
        if inputs.logits is None:
            raise InputError(f"measure: {measure.name} needs the teacher's logits")
        check_shape("logits", inputs.logits, [inputs.csr.num_rows, "C"])
    if measure.needs_labels:
        _check_labels(measure, inputs)
    scores = measure.scores(inputs)
    return (scores if measure.normalized else normalized(scores, inputs.normalization)).float()


def _check_labels(measure: Measure, inputs: Inputs) -> None:
    labels, N = inputs.labels, inputs.csr.num_rows
    if labels is None:
        raise InputError(f"measure: {measure.name} needs labels of the nodes that train")
    check_shape("labels", labels, [N] if inputs.task == "classification" else [N, "C"])
    if not labelled(labels).any():
        raise InputError("labels: expected those of the nodes that train, found none")
    if inputs.task == "classification" and labels.dtype != torch.int64:
        raise InputError(f"labels: expected int64, found {labels.dtype}")
    if inputs.task == "classification" and inputs.logits is not None:
        check_shape("logits", inputs.logits, [N, "C"])
        C = inputs.logits.shape[1]
        if int(labels.max()) >= C:
            raise InputError(
                f"labels: expected classes 0 to {C - 1}, of which the logits are; "
                f"found {int(labels.max())}"
            )


def check_task(measure: Measure, task: Task) -> None:
    """
    Raises:
        InputError: the measure is not defined for the task.
    """
    if task not in measure.tasks:
        raise InputError(
            f"influence.measure: {measure.name} is for {' and '.join(measure.tasks)}, not {task}"
        )


def normalized(values: Tensor, normalization: Normalization) -> Tensor:
    """Values over the largest ("max"), the least mapped to 0 and the largest to 1 ("minmax"), or as
    they are ("none"); constant ones become 1 by the first two."""
    if normalization == "none":
        return values
    least = values.min() if normalization == "minmax" else 0.0
    span = values.max() - least
    return (values - least) / span if span > 0 else torch.ones_like(values)
