"""The steps of an experiment, each with the fingerprint of what it is made of."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config import Config
from ..data import NodeDataset, by_influence
from ..data.summary import seen, untrained
from ..influence.compute import influence
from ..influence.scores import flat_warning, spread
from ..present.console import Reporter
from ..propagation.inputs import student_inputs
from ..propagation.positions import READ, beside, positions
from ..registry import measures, methods
from ..serving import save_weights
from ..system.ranks import ALONE
from ..system.runtime import Runtime
from ..system.writing import save_array
from ..training.checkpoint import Checkpoint
from ..training.evaluation import check_defined
from ..training.logits import load_logits
from ..training.loop import OnEpoch
from ..training.metrics import chosen
from ..training.readings import READINGS, load_teacher
from ..training.student import train_student
from ..training.teacher import (
    is_sampled,
    teacher_device,
    teacher_logits,
    train_teacher,
)
from .artifacts import Artifact, Artifacts, Stages, fingerprint
from .collapse import has_collapsed, told
from .directory import RunDirectory
from .fitting import Fitting, Metrics, Outcome
from .history import History
from .judging import Judge, of_inputs


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


class Steps:
    """Of one seed. What they return depends on their arguments alone; what is there is reused."""

    def __init__(self, experiment: Experiment, dataset: NodeDataset, seed: int) -> None:
        self.experiment, self.dataset, self.seed = experiment, dataset, seed
        self.config, self.runtime = experiment.config, experiment.runtime
        self.inductive = self.config.data.setting == "inductive"
        placed = any(methods[each.method].positions for each in experiment.students.values())
        if self.inductive or placed:
            experiment.artifacts.forget()
        t, device = self.config.train, self.runtime.device.type
        # What every training depends on.
        self.basis = [experiment.data, seed, t.epochs, t.patience, t.inputs, t.precision, device]
        self.basis += [t.metric, t.class_weights]
        check_defined(t.metric, dataset)

    def choose_labels(self) -> None:
        """Training keeps the labels of the most, or of the least influential nodes."""
        scores = self.influence(self.config)
        self.dataset = by_influence(self.dataset, self.config.data, scores.values)
        self.basis.append(scores.fingerprint)

    @property
    def judge(self) -> Judge:
        """Of its models."""
        return Judge(self.config, self.dataset, self.runtime, self.experiment.lean)

    # What no training changes

    def influence(self, config: Config, teacher: Artifact | None = None) -> Artifact:
        """I_g `[N]`, NaN for nodes that training may not see (strict)."""
        experiment, measure = self.experiment, measures[config.influence.measure]
        taught = teacher if measure.needs_teacher else None

        def compute(path: Path | None, runtime: Runtime) -> Tensor:
            logits = None if taught is None else taught.values
            scores = influence(config, self.dataset, runtime, logits=logits).scores
            if runtime.ranks.first and path is not None:
                save_array(path, scores)
            return scores

        per_seed = self.inductive or measure.needs_teacher or measure.needs_labels
        seed = self.seed if per_seed else None
        basis = [experiment.data, seed, None if taught is None else taught.fingerprint]
        weight = config.propagation.self_loop_weight
        made_of = fingerprint("influence", basis, config.influence, weight)
        is_new = made_of not in experiment.artifacts
        file = self._file(config, "influence.npy", per_seed)
        artifact = experiment.artifacts.array("influence", made_of, file, compute)
        if config is self.config:
            experiment.scores[:] = [artifact.values]
            if is_new and not measure.constant and spread(artifact.values).flat:
                experiment.report.warn(flat_warning(config))
        return artifact

    def inputs(self, config: Config) -> Artifact:
        """What the student reads, `[N, D]`: X~, or X; or X^(0) to X^(P), `[N, (P + 1) D]`; with
        positions beside, `[N, D + d]`."""
        propagated = config.reads_propagated
        placed = self.positions(config) if methods[config.method].positions else None
        made = self.dataset.features_of is not None or self.config.data.standardize
        varies = self.inductive and (propagated or made)  # with the split
        raw = not propagated and placed is None and not varies
        if raw and config is not self.config:
            return Artifact(self.dataset.features, "raw")
        per_seed = varies or placed is not None
        file = self._file(config, "propagated.npy", per_seed)
        config = of_inputs(config)  # raw ones have a file all the same, for `predict`

        def compute(path: Path | None, runtime: Runtime) -> Tensor:
            x = student_inputs(config, self.dataset, runtime, out=path)
            x = beside(x, placed.values, runtime, path) if placed else x
            if runtime.ranks.first and path is not None and not path.exists():
                save_array(path, x)
            return x

        p = config.propagation.model_dump(exclude={"of"})
        basis = [self.experiment.data, self.seed if per_seed else None, p]
        basis += ["hops"] if config.student.reads_hops else []
        made_of = fingerprint("propagate", *basis, *([placed.fingerprint] if placed else []))
        return self.experiment.artifacts.array("propagate", made_of, file, compute)

    def positions(self, config: Config) -> Artifact:
        """Of the nodes in the graph that training sees, `[N, d]`, drawn by this seed."""
        file = self._file(config, "positions.npy", per_seed=True)
        settings = config.nosmog.model_dump(include=READ)
        made_of = fingerprint("positions", self.experiment.data, self.seed, settings)
        compute = partial(positions, config, self.dataset, self.seed)
        return self.experiment.artifacts.array("positions", made_of, file, compute)

    def _file(self, config: Config, name: str, per_seed: bool) -> str | None:
        """Where in the run an array of its own student goes; those of others stay in memory."""
        if config is not self.config:
            return None
        return RunDirectory.key(self.seed, name) if per_seed else name

    # Trainings

    def teach(self) -> tuple[Artifact, Outcome]:
        """The teacher's logits of all nodes, `[N, C]`, trained or given."""
        config, dataset, view = self.config, self.dataset, self.dataset.observed_view()
        if config.teacher.logits is not None:
            return self._given_teacher(Path(config.teacher.logits))
        ranks = self.runtime.ranks
        runtime = replace(self.runtime, device=teacher_device(config.teacher, self.runtime.device))
        sampled = ranks.tell(is_sampled(config, view, runtime))
        if not sampled:  # the full graph is trained on by one process
            runtime = replace(runtime, ranks=ALONE)
        path = self.experiment.run.teacher_logits(self.seed)

        def work(checkpoint: Checkpoint, on_epoch: OnEpoch) -> Callable[[], Metrics]:
            teacher = train_teacher(config, view, runtime, self.seed, on_epoch, checkpoint)
            self._save("teacher", teacher)
            if not ranks.first:
                return dict
            dtype = getattr(torch, config.teacher.logits_dtype)
            logits = teacher_logits(teacher, dataset, runtime, dtype=dtype)
            save_array(path, logits)

            def teacher_outputs(alone: NodeDataset) -> Tensor:
                return teacher_logits(teacher, alone, runtime)

            def judge() -> Metrics:
                metrics = self.judge.teacher(logits, teacher_outputs)
                times = {} if sampled else self.judge.teacher_times(teacher, runtime)
                return metrics | times

            return judge

        processes = ranks.size if sampled else 1
        made_of = fingerprint("teacher", self.basis, config.teacher, processes)
        outcome = self.experiment.fitting.fit(
            self.seed,
            "teacher",
            work,
            fingerprint=made_of,
            files=["teacher.safetensors", "teacher_logits.npy"],
            epochs=config.teacher.epochs or config.train.epochs,
            runtime=runtime,
        )
        return Artifact(self.experiment.artifacts.read(path), made_of), outcome

    def _given_teacher(self, file: Path) -> tuple[Artifact, Outcome]:
        logits = load_logits(file, self.dataset.num_nodes, self.dataset.num_classes)
        stat = file.stat()
        made_of = fingerprint(str(file), stat.st_size, stat.st_mtime_ns)
        metrics = self.judge.teacher(logits)
        return Artifact(logits, made_of), Outcome(metrics, 0.0, self.experiment.fitting.metric)

    def reading(self, name: str, teacher: Artifact) -> Artifact:
        """What a method needs of the trained teacher beside its logits (`READINGS`), `[N, ...]`."""
        run, ranks, t = self.experiment.run, self.runtime.ranks, self.config.teacher

        def compute(path: Path | None, runtime: Runtime) -> Tensor:
            assert path is not None
            with ranks.together():
                if ranks.first:
                    runtime = replace(
                        runtime, device=teacher_device(t, runtime.device), ranks=ALONE
                    )
                    weights, data = run.weights(self.seed, "teacher"), self.dataset
                    shape = data.num_features, data.num_classes
                    model = load_teacher(weights, t, shape, runtime.device)
                    save_array(path, READINGS[name](model, self.dataset, runtime, self.seed))
            return self.experiment.artifacts.read(path)

        made_of, file = fingerprint(name, teacher.fingerprint), f"teacher_{name}.npy"
        return self.experiment.artifacts.array(
            f"teacher: {name}", made_of, run.key(self.seed, file), compute
        )

    def distil(self, name: str, teacher: Artifact, judged: Outcome) -> Outcome:
        """One student of the teacher, and if it collapses, once more without weight decay."""
        config = self.experiment.students[name]
        outcome = self.learn(name, teacher)
        if not has_collapsed(config, outcome, judged):
            return outcome
        report, label = self.experiment.report, f"seed {self.seed}: {name}"
        report.warn(f"{label}: {told(outcome, judged)}")
        again = f"{name}_retrained"
        second = self.learn(name, teacher, again, weight_decay=0.0)
        seconds = outcome.seconds + second.seconds
        better = second.val > outcome.val
        report.line(f"{label}: kept {'without' if better else 'with'} weight decay")
        if not better:
            return replace(outcome, seconds=seconds)
        if self.runtime.ranks.first:
            run = self.experiment.run
            shutil.copyfile(run.weights(self.seed, again), run.weights(self.seed, name))
        return replace(second, seconds=seconds, retrained=True)

    def learn(
        self, name: str, teacher: Artifact | None = None, model: str = "", **changes: Any
    ) -> Outcome:
        """One student.

        Args:
            model: under which name it is kept; by default its own.
            changes: in how it is trained, of `student`.
        """
        config, model = self.experiment.students[name], model or name
        method, view = methods[config.method], self.dataset.observed_view()
        scores = self.influence(config, teacher) if method.needs_influence else None
        inputs = self.inputs(config)
        logits = teacher if method.needs_teacher else None
        readings = {}
        if teacher is not None:
            readings = {
                reading: self.reading(reading, teacher) for reading in sorted(method.teacher)
            }
        given = (scores, inputs, logits, *readings.values())
        made_of = [a.fingerprint for a in given if a is not None]
        raw = inputs.values is self.dataset.features
        x = view.features if raw else self._observed(inputs)
        trained = config.replace("student", **changes)

        def work(checkpoint: Checkpoint, on_epoch: OnEpoch) -> Callable[[], Metrics]:
            student = train_student(
                trained,
                view,
                x,
                self._observed(scores),
                self._observed(logits),
                self.runtime,
                self.seed,
                on_epoch,
                checkpoint,
                **{name: self._observed(reading) for name, reading in readings.items()},
            )
            self._save(model, student)
            return lambda: self.judge.student(student, inputs.values, config)

        keys = None if method.settings is None else set(method.settings)
        settings = config.distillation.model_dump(include=keys)
        settings |= {name: getattr(config, name) for name in method.sections}
        settings |= {"of": "products"} if config.in_products else {}
        basis = [self.basis, *made_of]
        processes = self.runtime.ranks.size
        return self.experiment.fitting.fit(
            self.seed,
            model,
            work,
            fingerprint=fingerprint(basis, config.method, trained.student, settings, processes),
            files=[f"{model}.safetensors"],
            epochs=config.student.epochs or config.train.epochs,
            runtime=self.runtime,
        )

    def _observed(self, artifact: Artifact | None) -> Any:
        """Rows of the nodes that training may see."""
        observed = self.dataset.parts.observed
        if artifact is None or observed is None:
            return artifact and artifact.values
        return artifact.values[observed]

    def _save(self, model: str, weights: torch.nn.Module) -> None:
        if self.runtime.ranks.first:
            path = self.experiment.run.weights(self.seed, model)
            path.parent.mkdir(exist_ok=True)
            save_weights(path, weights, self.dataset.classes, self.dataset.task)
