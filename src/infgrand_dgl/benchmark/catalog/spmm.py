"""`benchmark spmm`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..benchmark import GRAPH, Benchmark, Task, positive

if TYPE_CHECKING:
    from ...data import NodeDataset
    from ..harness import Contender, Row

HUB = {"type": positive, "metavar": "N", "help": "join one node to N others, or to all"}


def change(dataset: NodeDataset, args: argparse.Namespace) -> NodeDataset:
    from ..hops import with_hub

    return dataset if args.hub is None else with_hub(dataset, args.hub)


def size(task: Task) -> Row:
    from ..harness import copy_bandwidth
    from ..hops import roofs

    return roofs(task.dataset, 1, copy_bandwidth(task.device))


def contenders(task: Task, size: Row) -> list[Contender]:
    from ..hops import contenders

    return contenders(task.dataset, None, task.device, size["roof_rows_read_once_seconds"])


def note(size: Row) -> str:
    once, every = size["roof_rows_read_once_seconds"], size["roof_every_edge_read_seconds"]
    return (
        f"copy {size['copy_gigabytes_per_second']:.1f} GB/s: every row read once {once:.4g} s "
        f"(what roof share is of), once per edge {every:.4g} s"
    )


BENCHMARK = Benchmark(
    "spmm",
    about="one product with the normalised adjacency against DGL, torch, scipy "
    "(GPU: cuSPARSE, CuPy, PyG)",
    place=2,
    defaults=GRAPH,
    contenders=contenders,
    options={"--hub": HUB},
    change=change,
    size=size,
    note=note,
)
