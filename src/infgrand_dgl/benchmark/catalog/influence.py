"""`benchmark influence`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..benchmark import GRAPH, Benchmark, Task

if TYPE_CHECKING:
    from ..harness import Contender, Row


def contenders(task: Task, size: Row) -> list[Contender]:
    from ..influence import contenders

    return contenders(task.dataset, task.device, task.args.blocked)


BENCHMARK = Benchmark(
    "influence",
    about="the closed form against the algorithms that visit all pairs of nodes",
    place=1,
    defaults=GRAPH,
    contenders=contenders,
    options={
        "--blocked": {"action": "store_true", "help": "scan all pairs of large graphs, too"},
    },
    size=lambda task: {"hops": 2},
)
