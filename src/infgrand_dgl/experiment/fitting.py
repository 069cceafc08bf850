"""One model's training within a run: reused, or gone on with from its checkpoint, and recorded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..present.console import Reporter
from ..system.runtime import Runtime
from ..training.checkpoint import Checkpoint
from ..training.evaluation import warning
from ..training.loop import DivergedError, OnEpoch
from ..training.metrics import METRICS
from .artifacts import Stages
from .directory import CHECKPOINT, RunDirectory
from .history import History

Metrics = dict[str, Any]
# Trains, and returns what then judges the model.
Work = Callable[[Checkpoint, OnEpoch], Callable[[], Metrics]]


@dataclass(frozen=True)
class Outcome:
    """What a trained model is worth, and the seconds of its training.

    Args:
        metric: by which models are compared.
        retrained: it had collapsed at first.
    """

    metrics: Metrics
    seconds: float
    metric: str = "accuracy"
    retrained: bool = False

    @property
    def scores(self) -> Mapping[str, float]:
        """The metric by part of the split."""
        return METRICS[self.metric].of_model(self.metrics)

    @property
    def val(self) -> float:
        return self.scores["val"]

    def __str__(self) -> str:
        named = "" if self.metric == "accuracy" else f"{METRICS[self.metric].label}: "
        test = self.scores["test"]
        return f"{self.seconds:.1f} s, {named}validation {self.val:.4f}, test {test:.4f}"


@dataclass(frozen=True)
class Fitting:
    """How the models of a run are trained.

    Args:
        runtime: of the run; a model may be trained in another.
        checkpoint_every: epochs.
        metric: of `METRICS`.
        lean: no other metric is computed.
    """

    run: RunDirectory
    stages: Stages
    history: History
    runtime: Runtime
    report: Reporter
    checkpoint_every: int
    metric: str
    lean: bool = False

    def fit(
        self,
        seed: int,
        model: str,
        work: Work,
        *,
        fingerprint: str,
        files: Sequence[str],
        epochs: int,
        runtime: Runtime,
    ) -> Outcome:
        """Trains a model, unless that is done already.

        Args:
            model: its name in the run.
            fingerprint: of what it is trained on.
            files: what it leaves in the seed's folder.
            epochs: at most.
            runtime: where it is trained; where that is one process of several, the others wait.
        """
        ranks, label = self.runtime.ranks, f"seed {seed}: {model}"
        key = self.run.key(seed, model)
        outcome: Outcome | None
        done = ranks.tell(self.stages.finished(key, fingerprint))
        if done is not None:
            outcome = Outcome(done["metrics"], done["seconds"], self.metric)
            self.report.line(f"{label:<28} reused, {outcome}")
            return outcome
        outcome = None
        if ranks.first or runtime.ranks == ranks:
            path = self.run.path / CHECKPOINT
            checkpoint = Checkpoint(path, fingerprint, self.checkpoint_every, runtime.ranks)
            outcome = self._trained(seed, model, label, epochs, checkpoint, work)
        if ranks.first and outcome is not None:
            result = {"seconds": outcome.seconds, "metrics": outcome.metrics}
            self.stages.finish(key, fingerprint, [self.run.key(seed, f) for f in files], result)
            (self.run.path / CHECKPOINT).unlink(missing_ok=True)
        outcome = ranks.tell(outcome)
        assert outcome is not None
        return outcome

    def _trained(
        self, seed: int, model: str, label: str, epochs: int, checkpoint: Checkpoint, work: Work
    ) -> Outcome:
        begun = False
        with self.report.bar(label, epochs) as bar:

            def on_epoch(epoch: int, values: Mapping[str, float]) -> None:
                nonlocal begun
                if not begun:  # what an earlier process left of later epochs
                    self.history.begin(seed, model, epoch - 1)
                    begun = True
                self.history.add({"seed": seed, "stage": model, "epoch": epoch, **values})
                bar.update(epoch, note=f"validation {values[f'val_{self.metric}']:.3f}")

            try:
                judge = work(checkpoint, on_epoch)
            except DivergedError as error:
                raise DivergedError(f"{label}: {error}") from None
            seconds = checkpoint.seconds
            outcome = Outcome(judge(), seconds, self.metric)
            if self.runtime.ranks.first:
                bar.result = str(outcome)
        told = self.runtime.ranks.first and not self.lean
        if told and (text := warning(outcome.metrics, self.metric)):
            self.report.warn(f"{label} {text}")
        return outcome
