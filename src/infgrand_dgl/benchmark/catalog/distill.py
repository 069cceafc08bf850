"""`benchmark distill`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..benchmark import GRAPH, Benchmark, Task

if TYPE_CHECKING:
    from ..harness import Contender, Row


def size(task: Task) -> Row:
    student, kl = task.config.student, task.config.distillation.kl
    classes = task.dataset.num_classes
    return {"classes": classes, "layers": student.layers, "hidden": student.hidden, "kl": kl}


def contenders(task: Task, size: Row) -> list[Contender]:
    from ..distill import contenders

    return contenders(task.config, task.dataset, task.device)


BENCHMARK = Benchmark(
    "distill",
    about="the distillation term in each of its forms, and training steps with and without it",
    place=4,
    defaults={**GRAPH, "student.layers": 3, "student.hidden": 256},
    contenders=contenders,
    models=("student",),
    options={
        "--kl": {"choices": ["forward", "reverse"], "help": "direction (default: forward)"},
    },
    settings={"distillation.kl": "kl"},
    size=size,
    note=lambda size: (
        "the first rows: value and gradient of the distillation term; step_*: whole training steps"
    ),
)
