"""A trial: the experiment with some values of the space, trained for its seeds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median, pstdev
from typing import Any

from ...config.schema import Config
from ...data import NodeDataset, load_source, with_split
from ...data.dataset import describe
from ...data.splits import for_choosing
from ...errors import InputError, one_line
from ...experiment.directory import RunDirectory
from ...experiment.fitting import Outcome
from ...experiment.steps import Experiment
from ...experiment.train import one_seed
from ...present.console import Silent
from ...system.memory import Budget
from ...system.runtime import Runtime, resolve_device
from ...training.metrics import Metric
from ...training.settings import for_task

STATES = ("finished", "pruned", "failed")
STARTUP = 5  # finished trials before any is pruned


@dataclass
class Trial:
    """What is known of one.

    Args:
        number: from 0; what is chosen depends on it.
        values: by `section.key`.
        scores: the student's metric on the nodes that are kept to score it, of each seed in their
            order; the mean over the settings.
        training: seconds that students trained, of all the `seconds`.
        error: of a failed one.
    """

    number: int
    values: dict[str, Any]
    state: str = "running"
    scores: list[float] = field(default_factory=list)
    seconds: float = 0.0
    training: float = 0.0
    error: str = ""

    @property
    def score(self) -> float:
        """The mean over the seeds."""
        return fmean(self.scores)

    @property
    def spread(self) -> dict[str, float]:
        """Mean and population standard deviation over the seeds."""
        return {"mean": self.score, "std": pstdev(self.scores)}

    def shown(self, metric: Metric) -> str:
        """Its score, and the deviation of several seeds, without the sign of a percentage."""
        several = len(self.scores) > 1
        return metric.over_seeds(self.spread) if several else metric.shown(self.score)

    @property
    def reason(self) -> str:
        """Of a failed one, in a line."""
        return one_line(self.error.splitlines()[-1]) if self.error else ""


def finished(trials: list[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.state == "finished"]


def ranked(trials: list[Trial], sign: int) -> list[Trial]:
    """The finished ones, the best first; of equals the first.

    Args:
        sign: of the metric.
    """
    return sorted(finished(trials), key=lambda trial: (-sign * trial.score, trial.number))


def is_poor(trial: Trial, others: list[Trial], sign: int) -> bool:
    """Median stopping rule (Golovin et al., 2017) over seeds: whether the mean of the seeds so far
    is worse than the median of the finished trials' means over as many."""
    done, seeds = finished(others), len(trial.scores)
    if len(done) < STARTUP:
        return False
    return sign * trial.score < median(sign * fmean(other.scores[:seeds]) for other in done)


class Bench:
    """Trains students of one dataset in one setting, in a folder where stages whose inputs are
    unchanged (the teacher, influence, propagated features) stay from one trial to the next.

    Args:
        config: the experiment in that setting.
        source: the dataset, where it is loaded already.

    Raises:
        InputError: the dataset cannot be loaded, or has not what the experiment asks for.
    """

    def __init__(self, config: Config, folder: Path, source: NodeDataset | None = None) -> None:
        self.run = RunDirectory(folder)
        self.run.scratch.mkdir(parents=True, exist_ok=True)
        self.source = load_source(config.data) if source is None else source
        self.metric = str(for_task(config, self.source.task).train.metric)
        self.setting = config.data.setting
        if self.setting == "inductive" and config.teacher.logits is not None:
            raise InputError(
                "teacher.logits: tune hides other nodes than its teacher knew: expected null, or "
                f"transductive alone; found {config.teacher.logits}"
            )
        for seed in config.train.seeds:
            self.dataset(config, seed)
        device = resolve_device(config.train.device)
        self.runtime = Runtime(device, Budget.of(config.resources), self.run.scratch)
        self.about = describe(self.source)

    def dataset(self, config: Config, seed: int) -> NodeDataset:
        """In which one half of the validation nodes tests what the other validates."""
        return for_choosing(with_split(self.source, config.data, seed), config.data, seed)

    def student(self, config: Config, seed: int) -> Outcome:
        """Its student, as `train` has it of that dataset, in this setting."""
        config = for_task(config.replace("data", setting=self.setting), self.source.task)
        students: Mapping[str, Config] = {"student": config}
        experiment = Experiment.of(
            config, students, self.source, self.run, self.runtime, Silent(), lean=True
        )
        return one_seed(experiment, self.dataset(config, seed), seed)["student"]
