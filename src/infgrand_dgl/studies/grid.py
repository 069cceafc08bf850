"""The grid of the published experiments, and the cells of it that a study trains."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config.fields import Task
from ..config.reading import load_config, shipped_experiments
from ..config.schema import Config
from ..data import load_source
from ..experiment.artifacts import fingerprint
from ..registry import Measure, Method, Study, methods, sources
from ..registry import teachers as registered

DATASETS = ("cora", "citeseer", "pubmed", "amazon-photo", "coauthor-cs", "coauthor-physics")
SETTINGS = ("transductive", "inductive")

WITHOUT: dict[Task, list[str]] = {  # before a user's own settings
    "classification": [],
    "multilabel": ["data.task=multilabel"],
    "regression": ["data.task=regression", "distillation.tau=1.0", "distillation.kl=forward"],
}

Students = dict[str, Config]  # by "<model>" or "<model>, <case>"
Cases = Iterator[tuple[str, Config, Students]]  # the experiments of one published cell, by case


def teachers() -> tuple[str, ...]:
    """Those that the grid has published hyperparameters for."""
    experiments = shipped_experiments()
    names = [teacher.name for teacher in registered.in_order()]
    return tuple(n for n in names if f"{DATASETS[0]}_{n}_{SETTINGS[0]}" in experiments)


@dataclass(frozen=True)
class Cell:
    """One teacher of one seed and its students: trained, kept and counted as one."""

    dataset: str
    teacher: str
    setting: str
    seed: int
    case: str
    config: Config
    students: Mapping[str, Config]

    @property
    def name(self) -> str:
        case = re.sub(r"\W+", "-", self.case).strip("-")
        parts = [self.dataset, self.teacher, self.setting, str(self.seed), case]
        return "_".join(filter(None, parts))

    @property
    def fingerprint(self) -> str:
        """Of what the cell computes; not of where."""
        students = {name: _anywhere(config) for name, config in self.students.items()}
        return fingerprint(_anywhere(self.config), students)

    def where(self) -> dict[str, Any]:
        """What a table is ordered by."""
        keys = ("dataset", "teacher", "setting", "seed")
        return {key: getattr(self, key) for key in keys}


def _anywhere(config: Config) -> Config:
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
) -> list[Cell]:
    """In order, those of one published cell together; seeds: by default the published ones.

    Args:
        task: what labels are where `overrides` put a graph in the place of the published ones; the
            published settings that it does not have are left out, and so are such cases.
    """
    cells = []
    overrides = [*WITHOUT[task], *overrides]
    for dataset in datasets:
        for teacher in teachers:
            for setting in settings:
                published = load_config(f"{dataset}_{teacher}_{setting}", overrides)
                for seed in seeds or published.train.seeds:
                    config = published.replace("train", seeds=[seed], baselines=[])
                    where = (dataset, teacher, setting, seed)
                    cells += [Cell(*where, *case) for case in study.cases(config)]
    return cells


def every_method(config: Config) -> Students:
    """A student of each method that the task has, all else alike."""
    named = [method.name for method in methods.in_order() if fits(method, config)]
    return {name: config.baseline(name) for name in named}


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


def fits(choice: Measure | Method, config: Config) -> bool:
    """Whether it is for the task of a cell."""
    return ("classification" if config.data.task == "auto" else config.data.task) in choice.tasks
