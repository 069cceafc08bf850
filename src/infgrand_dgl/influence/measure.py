r"""What every measure of influence gets, and how its values are normalized."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..config.fields import Task
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
        task: of which the logits are.
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


@torch.no_grad()
def measured(measure: Measure, inputs: Inputs) -> Tensor:
    """The scores of a measure, float32 `[N]`.

    Raises:
        InputError: no logits, or logits of another length, where the measure needs them; a task
            that it does not have.
    """
    check_task(measure, inputs.task)
    if measure.needs_teacher:
        if inputs.logits is None:
            raise InputError(f"measure: {measure.name} needs the teacher's logits")
        check_shape("logits", inputs.logits, [inputs.csr.num_rows, "C"])
    scores = measure.scores(inputs)
    return scores if measure.normalized else normalized(scores, inputs.normalization).float()


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
