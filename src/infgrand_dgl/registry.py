"""What an experiment can choose: measures, methods, teachers, data sources and formats, studies.

No torch here.

Every choice is one object in one file, which adds it here. The file's name is the choice's, with
"-" for "_" (`influence/measures/pagerank.py`: "pagerank"), so that names are known without
importing torch; the file is imported when its choice is used. Another package adds choices by the
entry-point group `infgrand_dgl.plugins`: each entry is a module, imported the first time that
anything is looked up here, and adds its own in the same way:

    measures.add(Measure("clustering", label="Clustering", scores=clustering))
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args

from .errors import InputError

PLUGINS = "infgrand_dgl.plugins"

# Okabe and Ito's colours, readable without colour vision.
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, AMBER, BLACK = "#56B4E9", "#E69F00", "#222222"
WINE, TEAL, OLIVE = "#882255", "#44AA99", "#999933"  # Tol's, where those are taken

Task = Literal["classification", "multilabel", "regression"]  # what labels can be: `data.task`
TASKS: tuple[Task, ...] = get_args(Task)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What all choices have: how it is named, and how it is shown.

    Args:
        name: as in the YAML and on the command line.
        label: in tables, figures and reports.
        color, marker: matplotlib's; by default the next free ones.
        place: in tables and legends, ascending; by name among equals.
    """

    name: str = field(kw_only=False)
    label: str
    color: str = ""
    marker: str = ""
    place: int = 100


@dataclass(frozen=True, kw_only=True)
class Measure(Choice):
    """A measure of influence: `influence.measure`.

    Args:
        scores: (`influence.measure.Inputs`) to the scores of all nodes, `[N]`.
        needs_teacher: `Inputs.logits` are given; it comes after the teacher.
        needs_cosine: `Inputs.cosine` are given.
        needs_labels: `Inputs.labels` are given; the scores vary with the split.
        normalized: the scores are; others go through `influence.normalization`.
        constant: the scores are, by design: nobody is warned of it.
        settings: the keys of `influence` that are this measure's alone.
        tasks: of whose teachers it can read the logits.
    """

    scores: Callable[..., Any]
    needs_teacher: bool = False
    needs_cosine: bool = False
    needs_labels: bool = False
    normalized: bool = False
    constant: bool = False
    settings: frozenset[str] = frozenset()
    tasks: tuple[str, ...] = TASKS


@dataclass(frozen=True, kw_only=True)
class Method(Choice):
    """What a student minimises: `method`, `train.baselines`.

    Args:
        objective: (`distillation.objective.Lesson`) to its `Objective`.
        needs_teacher, needs_influence: `Lesson.logits`, `Lesson.influence` are given.
        propagated: whether the student reads propagated features, where `student.features` is auto.
        settings: the keys of `distillation` that it reads; None: all.
        sections: those of the configuration that it reads beside.
        teacher: what it needs of the teacher beside its logits, `Lesson.hidden`,
            `Lesson.perturbed`.
        positions: whether the student reads positions of nodes beside their features.
        all_at_once: whether a step takes all nodes.
        tasks: that it has an objective for.
    """

    objective: Callable[..., Any]
    needs_teacher: bool = True
    needs_influence: bool = False
    propagated: bool = False
    settings: frozenset[str] | None = None
    sections: tuple[str, ...] = ()
    teacher: frozenset[str] = frozenset()
    positions: bool = False
    all_at_once: bool = False
    tasks: tuple[str, ...] = ("classification",)

    def reads(self, setting: str) -> bool:
        """Whether a key of `distillation` is read."""
        return self.settings is None or setting in self.settings


@dataclass(frozen=True, kw_only=True)
class Teacher(Choice):
    """A GNN: `teacher.model`.

    Args:
        build: (TeacherConfig, in_features, classes, backend) to an `nn.gnn.GNN`.
        settings: the keys of `teacher` that are this model's alone.
        floats: held per node and output of all layers in training, by which memory is reckoned.
        repeats: (TeacherConfig) to whether every epoch launches the same kernels with the same
            numbers from Python, so that a GPU may replay it.
        weights: whether its layers read the weights of edges.
    """

    build: Callable[..., Any]
    settings: frozenset[str] = frozenset()
    floats: int = 8
    repeats: Callable[..., bool] = lambda config: False
    weights: bool = True


@dataclass(frozen=True, kw_only=True)
class Source(Choice):
    """A dataset: `data.name`.

    Args:
        load: (DataConfig, folder) to a `NodeDataset`, whose split may be None: drawn by seed.
        about: one line for `data list`.
        settings: the keys of `data` that are this source's alone.
        needs_root: `data.root` must be given.
        downloads: without `data.root` the folder is that of downloads, below the user's home.
        streamed: (DataConfig, folder) to whether `write` must, or better does, the work of `load`.
        write: (DataConfig, folder, Store, Reporter) to the manifest's counts: the dataset into a
            prepared folder, part by part.
        official: its split is part of it; no protocol draws another.
        row_normalized: (DataConfig) to whether rows of its X sum to 1.
        accuracy: (name, predicted, labels) to the set's own verdict, both int64 `[n]`.
    """

    load: Callable[..., Any]
    about: str = ""
    settings: frozenset[str] = frozenset()
    needs_root: bool = False
    downloads: bool = True
    streamed: Callable[..., bool] = lambda config, root: False
    write: Callable[..., Any] | None = None
    official: bool = False
    row_normalized: Callable[..., bool] = lambda config: bool(config.row_normalize)
    accuracy: Callable[..., float] | None = None


@dataclass(frozen=True, kw_only=True)
class Format(Choice):
    """A kind of files that a graph comes in: `data import`, or `data.root` of `directory`.

    `place` is the order in which formats are asked whether a path is theirs.

    Args:
        about: one line, which files they are.
        recognizes: (path) to whether it is such a file or folder; cheap, and raises nothing but
            OSError.
        read: (path, `data.imported.Options`) to an `Imported`; what fails in foreign ways is said
            by `data.importing`.
    """

    about: str
    recognizes: Callable[[Path], bool]
    read: Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Study(Choice):
    """An experiment of many trainings: `infgrand-dgl study NAME`. `label` is its title.

    Args:
        cases: (Config of one published cell) to its (case, Config, students), one after the other;
            with `methods` (Config, `studies.published.Published`).
        tables: (rows) to the lines of its Markdown; rows as in `studies.render.render`.
        figures: (rows) to figures, by what follows the study's name in the file's.
        caption: of its first figure; `{metric}` in it is what the rows are scored by.
        captions: of the others, by the same suffix.
        claim: of the paper, in one sentence.
        datasets, settings, teachers: what of the grid is run by default; None: all.
        seeds: likewise; None: the published ones.
        methods: that it compares by default, where `--methods` chooses them; ("all",): all.
        alone: its cells are timed, and so run one after another.
        bold: `tables` have the best of a line in bold.
        after: (Cell, its folder, its rows) to rows of `<extra>.csv`, or None: called when the cell
            is trained; what it adds to the rows are columns of results.csv.
        extra: names those rows; `tables` and `figures` get them, if any, as a keyword of that name.
    """

    cases: Callable[..., Any]
    tables: Callable[..., list[str]]
    figures: Callable[..., Any]
    caption: str
    captions: Mapping[str, str] = field(default_factory=dict)
    claim: str = ""
    datasets: tuple[str, ...] | None = None
    settings: tuple[str, ...] | None = None
    teachers: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None
    methods: tuple[str, ...] = ()
    alone: bool = False
    bold: bool = True
    after: Callable[..., Any] | None = None
    extra: str = ""


C = TypeVar("C", bound=Choice)


class Registry(Mapping[str, C], Generic[C]):
    """The choices of one kind, by name.

    Args:
        kind: a noun for messages.
        folder: of our own choices, below the package.
    """

    def __init__(self, kind: str, folder: str) -> None:
        self.kind, self.folder = kind, folder
        self.added: dict[str, C] = {}
        files = (Path(__file__).parent / folder).glob("[a-z]*.py")
        self.ours = {file.stem.replace("_", "-"): file.stem for file in sorted(files)}

    def add(self, choice: C) -> None:
        """Makes a choice known.

        Raises:
            InputError: the name is taken.
        """
        if choice.name in self.added:
            raise InputError(f"{PLUGINS}: there are two of the {self.kind} {choice.name!r}")
        self.added[choice.name] = choice

    def __getitem__(self, name: str) -> C:
        load_plugins()
        if name in self.ours:
            folder = self.folder.replace("/", ".")
            import_module(f"{__package__}.{folder}.{self.ours[name]}")
        return self.added[name]

    def __iter__(self) -> Iterator[str]:
        """All names, ours first; no file of ours is imported."""
        load_plugins()
        return iter([*self.ours, *(name for name in self.added if name not in self.ours)])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in list(self)

    def in_order(self) -> list[C]:
        """As tables and legends have them."""
        return sorted(self.values(), key=lambda choice: (choice.place, choice.name))

    def check(self, name: str) -> str:
        """The name, if it is one.

        Raises:
            ValueError: says what is allowed, and the nearest match.
        """
        if name not in self:
            allowed = f"expected one of {', '.join(self)}"
            raise ValueError(f"{allowed}; found {name!r}{nearest(name, self)}")
        return name


def late(target: str, *first: Any) -> Callable[..., Any]:
    """A function of this package that is imported when it is called, torch or DGL with it.

    Configurations look choices up: a file that names its functions so is read at once.

    Args:
        target: "folder.module:function".
        first: its first arguments.
    """

    def call(*args: Any) -> Any:
        module, name = target.split(":")
        return getattr(import_module(f".{module}", __package__), name)(*first, *args)

    return call


def nearest(word: str, choices: Any) -> str:
    """The end of a message: which of the choices was perhaps meant."""
    close = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


_plugins_loaded = False


def load_plugins() -> None:
    """Imports what other packages have under `infgrand_dgl.plugins`, once.

    Raises:
        InputError: one of them cannot be imported.
    """
    global _plugins_loaded
    if _plugins_loaded:
        return
    _plugins_loaded = True  # now: a plugin may look things up
    for entry in entry_points(group=PLUGINS):
        try:
            entry.load()
        except InputError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            place = f"{entry.name} ({entry.value})"
            raise InputError(f"{PLUGINS}: {place} cannot be loaded: {reason}") from None


measures: Registry[Measure] = Registry("measure", "influence/measures")
methods: Registry[Method] = Registry("method", "distillation/methods")
teachers: Registry[Teacher] = Registry("teacher", "nn/teachers")
sources: Registry[Source] = Registry("data source", "data/sources")
formats: Registry[Format] = Registry("format", "data/formats")
studies: Registry[Study] = Registry("study", "studies/catalog")
