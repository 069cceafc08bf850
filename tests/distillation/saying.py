"""A student that says what it is told: its inputs are the places of its nodes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from infgrand_dgl.distillation.objective import Objective, Student


def saying(logits: Tensor) -> Student:
    """Of the inputs k `[b]` the rows `logits[k]`."""

    def forward(x: Tensor, hidden: bool = False) -> Any:
        return (logits[x], logits[x]) if hidden else logits[x]

    return Student(forward, forward)


def losses_of(
    made: Objective,
    logits: Tensor,
    ids: Tensor | None = None,
    rows: Mapping[str, Any] | None = None,
) -> dict[str, Tensor]:
    """The objective's losses where the student says `logits`, `[n, C]`, of all its rows, or of
    those at `ids` `[b]` alone.

    Args:
        rows: where they are not the objective's own.
    """
    x = torch.arange(len(logits), device=logits.device)
    given = {"x": x, **(made.rows if rows is None else rows)}
    batch = given if ids is None else {k: v[ids] for k, v in given.items()}
    return made.losses(saying(logits), batch)
