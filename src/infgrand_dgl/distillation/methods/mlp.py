"""The plain MLP: no teacher, no graph."""

from torch import Tensor

from ...errors import InputError
from ...registry import GREEN, TASKS, Method, methods
from ..objective import Lesson, Objective, Rows, Student


def mlp(lesson: Lesson) -> Objective:
    """The mean error on the training nodes: of classes cross-entropy."""
    view = lesson.view
    count = len(view.train)
    if lesson.config.student.norm == "batch" and count < 2:
        raise InputError("student.norm: batch needs two training nodes for an MLP, found one")
    task = lesson.task

    def losses(student: Student, batch: Rows) -> dict[str, Tensor]:
        return {"loss": task.total(student(batch["x"]), batch["labels"]) / count}

    return Objective({"labels": view.labels[view.train]}, losses, view.train)


methods.add(
    Method(
        "mlp",
        label="MLP",
        color=GREEN,
        marker="s",
        place=1,
        objective=mlp,
        needs_teacher=False,
        settings=frozenset(),
        tasks=TASKS,
    )
)
