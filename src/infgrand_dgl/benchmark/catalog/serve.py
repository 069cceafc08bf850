"""`benchmark serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..benchmark import SMALLER, TWO_LAYERS, Benchmark, Task

if TYPE_CHECKING:
    from ..harness import Contender, Row


def size(task: Task) -> Row:
    from ..inference import FANOUT

    return {"classes": task.dataset.num_classes, "sampled_neighbours_per_layer": FANOUT}


def contenders(task: Task, size: Row) -> list[Contender]:
    from ..serve import contenders

    return contenders(task.config, task.dataset, task.device)


BENCHMARK = Benchmark(
    "serve",
    about="one node: the student alone, behind HTTP for 1 and 64 clients, and each teacher",
    place=6,
    defaults=SMALLER | TWO_LAYERS,
    contenders=contenders,
    models=("teacher", "student"),
    size=size,
    note=lambda size: (
        "random weights; seconds from a request to its answer, a row each; service: "
        "`infgrand-dgl serve` of the ONNX export, a process of its own on this machine, over "
        "loopback, one connection a client; teachers on the whole graph (_full) or on 10 sampled "
        "neighbours per layer"
    ),
)
