"""The grid of the published experiments, and the cells of it that a study trains."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config.fields import Task
from ..config.reading import shipped_experiments
from ..config.schema import Config
from ..data import load_source
from ..experiment.artifacts import fingerprint
from ..registry import Study, sources
from ..registry import teachers as registered
from .published import DATASETS, SETTINGS, WITHOUT, Published, Students, every

Cases = Iterator[tuple[str, Config, Students]]  # the experiments of one published cell, by case
# The same, with the students that have settings of their own.
Compared = Iterator[tuple[str, Config, Students, list[str]]]


def teachers() -> tuple[str, ...]:
    """Those that the grid has published hyperparameters for."""
    experiments = shipped_experiments()
    names = [teacher.name for teacher in registered.in_order()]
    return tuple(n for n in names if f"{DATASETS[0]}_{n}_{SETTINGS[0]}" in experiments)


@dataclass(frozen=True)
class Cell:
    """One teacher of one seed and its students: trained, kept and counted as one.

    Args:
        own: those of the students that have settings of their own; None: nobody asks.
    """

    dataset: str
    teacher: str
    setting: str
    seed: int
    case: str
    config: Config
    students: Mapping[str, Config]
    own: Sequence[str] | None = None

    @property
    def name(self) -> str:
        case = re.sub(r"\W+", "-", self.case).strip("-")
        parts = [self.dataset, self.teacher, self.setting, str(self.seed), case]
        return "_".join(filter(None, parts))

    @property
    def fingerprint(self) -> str:
        """Of what the cell computes; not of where."""
        students = {name: anywhere(config) for name, config in self.students.items()}
        return fingerprint(anywhere(self.config), students)

    def where(self) -> dict[str, Any]:
        """What a table is ordered by."""
        keys = ("dataset", "teacher", "setting", "seed")
        return {key: getattr(self, key) for key in keys}


def anywhere(config: Config) -> Config:
    """What it computes, whatever the machine."""
    config = config.replace("resources", memory=None, gpu_memory=None)
    if not sources[config.data.name].needs_root:  # of a user's graph it says which
        config = config.replace("data", root=None)
    return config.replace("train", device="auto")


def cells_of(
    study: Study,
    datasets: Sequence[str],
    teachers: Sequence[str],
    settings: Sequence[str],
    seeds: Sequence[int] | None,
    overrides: Sequence[str],
    task: Task = "classification",
    methods: Sequence[str] | None = None,
) -> list[Cell]:
    """In order, those of one published cell together; seeds: by default the published ones.

    Args:
        task: what labels are where `overrides` put a graph in the place of the published ones; the
            published settings that it does not have are left out, and so are such cases.
        methods: that a study of methods compares; by default its own.
    """
    cells = []
    given = (*WITHOUT[task], *overrides), every(methods or study.methods)
    for dataset in datasets:
        for teacher in teachers:
            for setting in settings:
                published = Published(dataset, teacher, setting, *given)
                experiment, shown = published.config, published.shown
                more = (published,) if study.methods else ()
                for seed in seeds or experiment.train.seeds:
                    config = experiment.replace("train", seeds=[seed], baselines=[])
                    where = (shown, teacher, setting, seed)
                    cells += [Cell(*where, *case) for case in study.cases(config, *more)]
    return cells


def every_method(config: Config, published: Published) -> Students:
    """A student of each method that is compared, all else alike."""
    return {name: config.baseline(name) for name in published.compared(config)}


def task_of(config: Config, look: bool = True) -> Task:
    """What the labels of an experiment's graph are.

    Args:
        look: at a user's graph, where the experiment does not say; else they count as classes.
    """
    data = config.data
    if data.task != "auto":
        return data.task
    own = sources[data.name].needs_root
    return load_source(data).task if look and own else "classification"
