"""What each study trains: cells of the published grid, and the students of each."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config.reading import load_config
from ..config.schema import Config
from ..registry import measures

DATASETS = ("cora", "citeseer", "pubmed", "amazon-photo", "coauthor-cs", "coauthor-physics")
TEACHERS = ("gcn", "sage", "gat")
SETTINGS = ("transductive", "inductive")

Students = dict[str, Config]  # by "<model>" or "<model>, <case>"
# The experiments of one published cell, by case.
Cases = Callable[[Config], Iterator[tuple[str, Config, Students]]]


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

    def where(self) -> dict[str, Any]:
        """What a table is ordered by."""
        keys = ("dataset", "teacher", "setting", "seed")
        return {key: getattr(self, key) for key in keys}


@dataclass(frozen=True)
class Study:
    """
    Args:
        cases: what is trained in each cell of the published grid.
        settings, teachers: by default.
        alone: whether its cells are timed, and so run one after another.
    """

    cases: Cases
    settings: Sequence[str] = SETTINGS
    teachers: Sequence[str] = TEACHERS
    alone: bool = False

    def cells(
        self,
        datasets: Sequence[str],
        teachers: Sequence[str],
        settings: Sequence[str],
        seeds: Sequence[int] | None,
        overrides: Sequence[str],
    ) -> list[Cell]:
        """In order, those of one published cell together; seeds: by default the published ones."""
        found = []
        for dataset in datasets:
            for teacher in teachers:
                for setting in settings:
                    published = load_config(f"{dataset}_{teacher}_{setting}", overrides)
                    at = (dataset, teacher, setting)
                    for seed in seeds or published.train.seeds:
                        one = published.replace("train", seeds=[seed], baselines=[])
                        found += [Cell(*at, seed, *case) for case in self.cases(one)]
        return found


def _table1(config: Config) -> Iterator[tuple[str, Config, Students]]:
    yield "", config, _methods(config)


def _high_low(config: Config) -> Iterator[tuple[str, Config, Students]]:
    for choice in ("high", "low"):
        yield choice, config.replace("data", label_rate=0.25, label_choice=choice), {}


def _label_scarce(config: Config) -> Iterator[tuple[str, Config, Students]]:
    for percent in (10, 20, 40):
        scarce = config.replace("data", label_rate=percent / 100)
        yield f"{percent} %", scarce, _methods(scarce)


def _ablation(config: Config) -> Iterator[tuple[str, Config, Students]]:
    """What the student reads, times what it minimises."""
    students: Students = {}
    for method, alone, both in (
        ("mlp", "mlp", "mlp + propagation"),
        ("glnn", "glnn", "glnn + propagation"),
        ("infgrand", "infgrand loss", "infgrand"),
    ):
        changed = config.model_copy(update={"method": method})
        students[alone] = changed.replace("student", features="raw")
        students[both] = changed.replace("student", features="propagated")
    yield "", config, students


def _tradeoff(config: Config) -> Iterator[tuple[str, Config, Students]]:
    for layers in range(1, 5):
        # fanouts, of as many layers as before, are for teachers that are sampled
        deep = config.replace("teacher", layers=layers, fanouts=None)
        students: Students = {}
        if layers == config.teacher.layers:
            for width in (None, 64, 256, 1024):
                case = "published width" if width is None else f"width {width}"
                wide = config.replace("student", hidden=width or config.student.hidden)
                students |= {f"{name}, {case}": c for name, c in _methods(wide).items()}
        yield f"{layers} layer{'s' * (layers > 1)}", deep, students


SENSITIVITY: dict[str, Sequence[Any]] = {
    "lambda": (0.0, 0.1, 0.3, 0.5, 0.7, 0.9),
    "tau": (0.5, 1.0, 1.5, 2.0, 4.0),
    "gamma2/gamma1": (0.0, 0.25, 0.5, 1.0, 2.0, 4.0),
    "hops": (0, 1, 2, 3, 4, 6),
    "pooling": ("mean", "max", "min"),
}


def _sensitivity(config: Config) -> Iterator[tuple[str, Config, Students]]:
    """One setting at a time; the sum of γ1 and γ2, the scale of the loss, stays."""
    d = config.distillation
    total = d.gamma1 + d.gamma2
    changes: dict[str, Callable[[Any], Config]] = {
        "lambda": lambda v: config.replace("distillation", lambda_=v),
        "tau": lambda v: config.replace("distillation", tau=v),
        "gamma2/gamma1": lambda v: config.replace(
            "distillation", gamma1=total / (1 + v), gamma2=total * v / (1 + v)
        ),
        "hops": lambda v: config.replace("propagation", hops=v),
        "pooling": lambda v: config.replace("propagation", pooling=v),
    }
    students = {
        f"infgrand, {key}={value}": changes[key](value)
        for key, values in SENSITIVITY.items()
        for value in values
    }
    yield "", config, students


def _measures(config: Config) -> Iterator[tuple[str, Config, Students]]:
    yield "", config, {m: config.replace("influence", measure=m) for m in measures}


def _methods(config: Config) -> Students:
    return {m: config.baseline(m) for m in ("mlp", "glnn", "infgrand")}


GCN, TRANSDUCTIVE = ("gcn",), ("transductive",)
STUDIES = {
    "table1": Study(_table1),
    "high-low": Study(_high_low, TRANSDUCTIVE),
    "label-scarce": Study(_label_scarce, TRANSDUCTIVE, GCN),
    "ablation": Study(_ablation, SETTINGS, GCN),
    "tradeoff": Study(_tradeoff, TRANSDUCTIVE, TEACHERS, alone=True),
    "sensitivity": Study(_sensitivity, TRANSDUCTIVE, GCN),
    "measures": Study(_measures, TRANSDUCTIVE, GCN),
}
