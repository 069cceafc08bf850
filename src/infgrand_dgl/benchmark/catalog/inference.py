"""`benchmark inference`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..benchmark import SMALLER, TWO_LAYERS, Benchmark, Task

if TYPE_CHECKING:
    from ..harness import Contender, Row


def size(task: Task) -> Row:
    from ..inference import FANOUT

    teacher, classes = task.config.teacher, task.dataset.num_classes
    models = {"classes": classes, "layers": teacher.layers, "hidden": teacher.hidden}
    return {**models, "sampled_neighbours_per_layer": FANOUT}


def contenders(task: Task, size: Row) -> list[Contender]:
    from ..inference import contenders

    return contenders(task.config, task.dataset, task.device)


BENCHMARK = Benchmark(
    "inference",
    about="the student against each teacher, full-graph and on sampled neighbourhoods",
    place=5,
    defaults=SMALLER | TWO_LAYERS,
    contenders=contenders,
    models=("teacher", "student"),
    size=size,
    note=lambda size: (
        "random weights; *_full forwards the whole graph, *_sampled 10 neighbours per layer, in "
        "pieces of 1000 nodes; seconds per call, its nodes drawn afresh"
    ),
)
