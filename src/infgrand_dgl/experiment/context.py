"""What all seeds of a run have in common."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from ..config import Config
from ..data import NodeDataset
from ..data.summary import seen, untrained
from ..present.console import Reporter
from ..system.runtime import Runtime
from ..training.metrics import chosen
from .artifacts import Artifacts, Stages, fingerprint
from .directory import RunDirectory
from .fitting import Fitting
from .history import History


@dataclass(frozen=True)
class Experiment:
    """What all seeds of a run have in common.

    Args:
        config: of the teacher, and of the student whose arrays the run directory keeps.
        students: by name.
        data: the fingerprint of the dataset and of what of it a run may see.
        scores: the influence last computed, for the picture.
        told: what was said of a seed's split, which others need not say again.
        lean: its models are trained to be compared by one metric: no other is computed, no times
            are taken, no history is kept.
    """

    config: Config
    students: Mapping[str, Config]
    data: str
    run: RunDirectory
    runtime: Runtime
    report: Reporter
    artifacts: Artifacts
    fitting: Fitting
    scores: list[Tensor] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    lean: bool = False

    @classmethod
    def of(
        cls,
        config: Config,
        students: Mapping[str, Config],
        source: NodeDataset,
        run: RunDirectory,
        runtime: Runtime,
        report: Reporter,
        lean: bool = False,
    ) -> "Experiment":
        data = fingerprint(source.fingerprint, config.data.of_splits())
        stages = Stages(run.path)
        board = run.path / "tensorboard" if config.train.tensorboard else None
        metric = chosen(config.train.metric, source.task).name
        writes = runtime.ranks.first and not lean
        history = History(run.path / "history.csv", metric, board, writes)
        artifacts = Artifacts(run.path, stages, runtime, report)
        every = config.train.checkpoint_every
        fitting = Fitting(run, stages, history, runtime, report, every, metric, lean)
        return cls(config, students, data, run, runtime, report, artifacts, fitting, lean=lean)

    def tell(self, dataset: NodeDataset) -> None:
        """What training sees when inductive, and which classes it does not learn: once."""
        news: dict[str, Callable[[str], None]] = {}
        if dataset.parts.observed is not None:
            news[seen(dataset, self.config.data)] = self.report.line
        if missing := untrained(dataset):
            news[missing] = self.report.warn
        for text in news.keys() - self.told if self.runtime.ranks.first else ():
            news[text](text)
        self.told.update(news)
