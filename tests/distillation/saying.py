"""A student that says what it is told: its inputs are the places of its nodes."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from infgrand_dgl.distillation.objective import Objective, Student
from tests.training.test_graphed import no_waiting


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


def assert_defined(
    made: Objective,
    logits: Tensor,
    rows: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    gradient: Tensor | None,
) -> None:
    """Losses of a student that says `logits`, and their gradient, are those of a definition in
    float64; and those of two batches add up to them."""
    said = logits.clone().requires_grad_()
    losses = losses_of(made, said, rows=rows)
    losses["loss"].backward()
    for name, value in expected.items():
        assert float(losses[name].detach()) == pytest.approx(float(value.detach()), rel=1e-4), name
    assert said.grad is not None
    torch.testing.assert_close(said.grad.cpu().double(), gradient, rtol=1e-3, atol=1e-6)
    if not made.all_at_once:
        batches = torch.arange(len(said), device=said.device).split([33, len(said) - 33])
        parts = [float(losses_of(made, said.detach(), ids, rows)["loss"]) for ids in batches]
        assert sum(parts) == pytest.approx(float(losses["loss"].detach()), rel=1e-5)


def assert_adds_up(
    made: Objective,
    student: Callable[[Tensor], Student],
    of: Tensor,
    rows: Mapping[str, Tensor],
    batches: Iterable[Tensor],
) -> None:
    """Losses and gradients of batches add up to the whole's, and wait for no GPU.

    Args:
        student: made of a tensor `of`, whose gradient it is.
        batches: ids of rows.
    """
    whole, parts = of.clone().requires_grad_(), of.clone().requires_grad_()
    expected = made.losses(student(whole), dict(rows))
    expected["loss"].backward()
    found = []
    for ids in batches:
        batch = {name: values[ids] for name, values in rows.items()}
        with no_waiting(of.device):
            found.append(made.losses(student(parts), batch))
            found[-1]["loss"].backward()
    for name, value in expected.items():
        torch.testing.assert_close(sum(each[name] for each in found), value)
    torch.testing.assert_close(parts.grad, whole.grad)
