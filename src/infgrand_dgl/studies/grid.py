"""The grid of the published experiments, and the cells of it that a study trains."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config.reading import load_config, shipped_experiments
from ..config.schema import Config
from ..experiment.artifacts import fingerprint
from ..registry import Study, methods
from ..registry import teachers as registered

DATASETS = ("cora", "citeseer", "pubmed", "amazon-photo", "coauthor-cs", "coauthor-physics")
SETTINGS = ("transductive", "inductive")

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
    return config.replace("data", root=None).replace("train", device="auto")


def cells_of(
    study: Study,
    datasets: Sequence[str],
    teachers: Sequence[str],
    settings: Sequence[str],
    seeds: Sequence[int] | None,
    overrides: Sequence[str],
) -> list[Cell]:
    """In order, those of one published cell together; seeds: by default the published ones."""
    cells = []
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
    """A student of each method, all else alike."""
    return {method.name: config.baseline(method.name) for method in methods.in_order()}
