"""The plain MLP: no teacher, no graph."""

from torch import Tensor
from torch.nn.functional import cross_entropy

from ...errors import InputError
from ...registry import GREEN, Method, methods
from ..objective import Lesson, Objective, Rows


def mlp(lesson: Lesson) -> Objective:
    """Cross-entropy on the training nodes."""
    view = lesson.view
    count = len(view.train)
    if lesson.config.student.norm == "batch" and count < 2:
        raise InputError("student.norm: batch needs two training nodes for an MLP, found one")

    weights = lesson.class_weights()

    def losses(logits: Tensor, batch: Rows) -> dict[str, Tensor]:
        ce = cross_entropy(logits, batch["labels"], weights, reduction="sum")
        return {"loss": ce / count}

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
    )
)
