"""What a benchmark is. Each is one object, `BENCHMARK`, in one file of catalog/.

The command line imports these files to parse: what is heavy waits, in them, for the functions that
need it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from ..config.schema import Config
    from ..data import NodeDataset
    from .harness import Contender, Row

# Sizes that end within a minute on two cores.
GRAPH = {"data.style": "arxiv", "data.nodes": 20_000}
SMALLER = GRAPH | {"data.nodes": 10_000}
TWO_LAYERS = {
    "teacher.layers": 2,
    "teacher.hidden": 256,
    "student.layers": 2,
    "student.hidden": 256,
}


@dataclass(frozen=True)
class Task:
    """What is measured.

    Args:
        args: the options of the command line.
        dataset: after `Benchmark.change`.
    """

    args: argparse.Namespace
    config: Config
    dataset: NodeDataset
    device: torch.device


@dataclass(frozen=True)
class Benchmark:
    """A task, and the contenders for it.

    Args:
        name: of the command, and of the file.
        about: what `--help` says.
        place: in `--help` and in `benchmark all`, ascending.
        defaults: settings of the experiment where no `--config` names others.
        contenders: (Task, size) to those that are measured. It may run out of memory.
        models: sections of the config that `--layers` and `--hidden` set.
        options: more of its command line: the arguments of `add_argument`, by flag. `benchmark all`
            takes those of every benchmark; a flag of two is one and the same.
        settings: options that set the config, by its key.
        change: (NodeDataset, options) to the dataset that is measured on.
        size: what tells a task from others beside the graph, for the head of a table. It may be
            measured.
        note: (size) to what a reader should know beside the figures.
    """

    name: str
    about: str
    place: int
    defaults: Mapping[str, Any]
    contenders: Callable[[Task, Row], list[Contender]]
    models: tuple[str, ...] = ()
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    change: Callable[[NodeDataset, argparse.Namespace], NodeDataset] = lambda dataset, args: dataset
    size: Callable[[Task], Row] = lambda task: {}
    note: Callable[[Row], str] = lambda size: ""


def positive(text: str) -> int:
    """The type of an option that counts."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a positive integer, found {text!r}")
    return int(text)
