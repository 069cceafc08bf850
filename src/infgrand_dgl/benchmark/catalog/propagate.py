"""`benchmark propagate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..benchmark import GRAPH, Benchmark, Task, positive
from . import spmm

if TYPE_CHECKING:
    from ..harness import Contender, Row


def size(task: Task) -> Row:
    from ..harness import copy_bandwidth
    from ..hops import roofs

    hops = task.args.hops
    return {"hops": hops, **roofs(task.dataset, hops, copy_bandwidth(task.device))}


def contenders(task: Task, size: Row) -> list[Contender]:
    from ..hops import contenders

    roof = size["roof_rows_read_once_seconds"]
    return contenders(task.dataset, task.args.hops, task.device, roof)


BENCHMARK = Benchmark(
    "propagate",
    about="hops and mean pooling against the same libraries",
    place=3,
    defaults=GRAPH,
    contenders=contenders,
    options={"--hub": spmm.HUB, "--hops": {"type": positive, "default": 2, "metavar": "P"}},
    change=spmm.change,
    size=size,
    note=spmm.note,
)
