"""What is shipped for a cell of the grid: its experiment, rivals' own settings, a recipe."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

from ..config.fields import Task
from ..config.reading import load_config
from ..config.schema import Config, DataConfig
from ..data.ogb import folder_of
from ..data.root import root_of
from ..propagation.products import inside
from ..registry import Measure, Method, methods

DATASETS = ("cora", "citeseer", "pubmed", "amazon-photo", "coauthor-cs", "coauthor-physics")
SETTINGS = ("transductive", "inductive")
METHODS = ("mlp", "glnn", "infgrand")  # which the paper compares
LARGE = {"ogbn-arxiv": "arxiv"}  # the paper's others, by experiment: no default of any study
EXPERIMENTS = Path(str(resources.files("infgrand_dgl.config"))) / "experiments"

WITHOUT: dict[Task, list[str]] = {  # before a user's own settings
    "classification": [],
    "multilabel": ["data.task=multilabel"],
    "regression": ["data.task=regression", "distillation.tau=1.0", "distillation.kl=forward"],
}

Students = dict[str, Config]  # by "<model>" or "<model>, <case>"


def every(names: Sequence[str]) -> tuple[str, ...]:
    """In order, and each once; of "all" those that are registered."""
    given = list(methods) if "all" in names else names
    return tuple(method.name for method in methods.in_order() if method.name in given)


def twin_of(dataset: str) -> str:
    """The experiment on a generated graph in the place of a large one."""
    return f"{LARGE[dataset]}-synthetic"


@dataclass(frozen=True)
class Published:
    """A cell of the grid, and the methods that a study compares in it.

    Args:
        overrides: of all its experiments, `key=value`.
    """

    dataset: str
    teacher: str
    setting: str
    overrides: tuple[str, ...] = ()
    methods: tuple[str, ...] = METHODS

    @property
    def shown(self) -> str:
        """The dataset that it trains on: the twin of a large one that is not at hand."""
        if self.dataset not in LARGE:
            return self.dataset
        places = ("data.name=", "data.root=", "data.prepared=")
        where = [o for o in self.overrides if o.startswith(places)]
        data = load_config(LARGE[self.dataset], where).data
        strange = data.name != self.dataset  # a graph of the user's in its place
        return self.dataset if strange or at_hand(data) else twin_of(self.dataset)

    @property
    def config(self) -> Config:
        """Its experiment; a large dataset has one, of which teacher and setting are changed.

        Raises:
            InputError: an override that is none.
        """
        if self.dataset not in LARGE:
            return load_config(f"{self.dataset}_{self.teacher}_{self.setting}", self.overrides)
        name = LARGE[self.dataset] if self.shown == self.dataset else self.shown
        changes = (f"teacher.model={self.teacher}", f"data.setting={self.setting}")
        return load_config(name, (*changes, *self.overrides))

    def own(self, method: str) -> Config | None:
        """`experiments/rivals/<method>_<dataset>_<teacher>_<setting>.yaml`, or what is shipped for
        the whole dataset, `<method>_<dataset>.yaml`."""
        for cell in (f"{self.dataset}_{self.teacher}_{self.setting}", self.dataset):
            file = EXPERIMENTS / f"rivals/{method}_{cell}.yaml"
            if (own := _shipped(file, self.overrides)) is not None:
                return own
        return None

    def others(self) -> dict[str, Config]:
        """What is shipped for the dataset under a name that is no method's, such as `s2gc`: another
        student; where all methods are compared."""
        if self.methods != every(["all"]):
            return {}
        ending = f"_{self.dataset}.yaml"
        files = sorted((EXPERIMENTS / "rivals").glob(f"*{ending}"))
        names = [name for f in files if (name := f.name.removesuffix(ending)) not in methods]
        return {name: own for name in names if (own := self.own(name)) is not None}

    def recipe(self) -> Config | None:
        """`experiments/best/<dataset>.yaml`, if shipped."""
        return _shipped(EXPERIMENTS / f"best/{self.dataset}.yaml", self.overrides)

    def compared(self, config: Config) -> list[str]:
        """Those of the methods that the task has."""
        return [name for name in self.methods if fits(methods[name], config)]

    def student(self, method: str, config: Config) -> Config:
        """A student of `config`'s teacher, by its own settings; where none are shipped by those
        of `config`."""
        own = self.own(method)
        return config.baseline(method) if own is None else taught_by(config, own)


@lru_cache(maxsize=1024)
def _shipped(path: Path, overrides: Sequence[str]) -> Config | None:
    return load_config(path, overrides) if path.is_file() else None


def taught_by(config: Config, own: Config) -> Config:
    """`own`, but for graph and teacher, which are `config`'s."""
    theirs = own.model_dump(by_alias=True, exclude={"data", "teacher", "train", "resources"})
    patient = config.replace("train", epochs=own.train.epochs, patience=own.train.patience)
    return patient.replace(**theirs)


def on_propagated(student: Config, config: Config) -> Config:
    """The same student on `config`'s propagated features, as they are there or, where it cannot
    have them so, made before it is trained."""
    p = config.propagation
    reading = student.replace(propagation=p.model_dump() | {"of": "features"})
    reading = reading.replace("student", features="propagated")
    return inside(reading) if p.of == "products" else reading


def at_hand(data: DataConfig) -> bool:
    """Whether the files of a set of OGB's are there, so that nothing is downloaded."""
    return data.prepared is not None or (folder_of(data.name, root_of(data)) / "raw").is_dir()


def fits(choice: Measure | Method, config: Config) -> bool:
    """Whether it is for the task of a cell."""
    return ("classification" if config.data.task == "auto" else config.data.task) in choice.tasks
