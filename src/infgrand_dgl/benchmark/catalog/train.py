"""`benchmark train`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..benchmark import SMALLER, TWO_LAYERS, Benchmark, Task

if TYPE_CHECKING:
    from ..harness import Contender, Row


def size(task: Task) -> Row:
    teacher, classes = task.config.teacher, task.dataset.num_classes
    models = {"classes": classes, "layers": teacher.layers, "hidden": teacher.hidden}
    return {**models, "seed_epochs": task.config.train.epochs}


def contenders(task: Task, size: Row) -> list[Contender]:
    from ..train import contenders

    return contenders(task.config, task.dataset, task.device)


BENCHMARK = Benchmark(
    "train",
    about="epochs of each teacher on each backend and of the student, and one seed end to end",
    place=7,
    # Without weight decay no student is trained twice (docs/reproduction.md).
    defaults={**SMALLER, **TWO_LAYERS, "student.weight_decay": 0.0, "train.epochs": 10},
    contenders=contenders,
    models=("teacher", "student"),
    size=size,
    note=lambda size: (
        "seconds per epoch (step, evaluation, best weights kept); student_random: two views, made "
        "in each epoch, and consistency; products: propagated inside; view: one of "
        "them; seed: influence, propagation, teacher and student of one seed, at most as many "
        "epochs as size says"
    ),
)
