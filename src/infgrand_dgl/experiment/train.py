"""The stages, composed once: load, influence, propagate, teacher, distil, evaluate.

A stage that is finished, with the same inputs, is taken from the run directory; a training goes on
from its checkpoint (`--resume`, and `--overwrite` without `--fresh`).
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config.schema import Config
from ..data import NodeDataset, by_influence, load_source, with_split
from ..data.dataset import describe
from ..distillation.objective import reads_propagated
from ..errors import InputError
from ..features.matrix import FeatureMatrix
from ..influence.compute import influence
from ..influence.scores import flat_warning, spread
from ..nn.mlp import MLP
from ..present.console import Reporter
from ..present.curves import influence_histogram, training_curves
from ..propagation.inputs import student_inputs
from ..registry import measures, methods
from ..serving import save_weights
from ..system.arrays import load_array, map_array
from ..system.memory import Budget
from ..system.ranks import ALONE, Ranks, joined
from ..system.runtime import Runtime, resolve_device
from ..system.writing import save_array
from ..training.checkpoint import Checkpoint
from ..training.evaluation import evaluate, milliseconds_per_1000_nodes, summary
from ..training.loop import OnEpoch
from ..training.student import classes, train_student
from ..training.teacher import (
    is_sampled,
    load_logits,
    teacher_device,
    teacher_inputs,
    teacher_logits,
    train_teacher,
)
from .artifacts import Stages, fingerprint
from .directory import CHECKPOINT, SCRATCH, RunDirectory, new_run, partial_of
from .environment import environment
from .history import History

Result = dict[str, Any]
# Trains, and returns what then judges the model.
Work = Callable[[Runtime, Checkpoint, OnEpoch], Callable[[], Result]]

# A student this far below its teacher on the validation nodes has not learnt from it.
COLLAPSED = 0.05

TIMED_NODES = 1 << 16  # of a pass whose time is reported


def train(
    config: Config,
    out: Path,
    *,
    students: Mapping[str, Config] | None = None,
    overwrite: bool = False,
    resume: bool = False,
    fresh: bool = False,
    report: Reporter,
) -> Result:
    """Runs an experiment over all its seeds into the run directory `out`; returns its metrics.

    Every process of a torchrun calls it; the first one writes. `out` must then lie on a file
    system that all of them see. For the other flags see `run.new_run`.

    Args:
        students: of the one teacher, by name; they differ from `config` in how they are trained.
            By default "student", which is `config`'s own, and `train.baselines`.
    """
    device = resolve_device(config.train.device)
    if config.distillation.loss == "apply_edges" and device.type != "cpu":
        raise InputError(
            "distillation.loss: apply_edges runs on the CPU; on a GPU take collapsed or edge_kl"
        )
    with joined(device) as ranks:
        out = ranks.tell(out)
        whole = resume and (out / "metrics.json").is_file() and not partial_of(out).exists()
        if ranks.tell(whole):
            report.line(f"{out} is whole: nothing to resume")
            return json.loads((out / "metrics.json").read_text())
        with _shared(ranks, out, overwrite, resume, fresh) as run:
            if ranks.first:
                run.write_text("config.yaml", config.to_yaml())
            if students is None:
                students = {m: config.baseline(m) for m in config.train.baselines}
                students = {**students, "student": config}
            return _Training(config, students, run, device, ranks, report).all_seeds()


@contextmanager
def _shared(
    ranks: Ranks, out: Path, overwrite: bool, resume: bool, fresh: bool
) -> Iterator[RunDirectory]:
    """The run directory, made by the first process for all."""
    if ranks.first:
        with new_run(out, overwrite, resume=resume, fresh=fresh) as run:
            ranks.tell(run.path)
            yield run
    else:
        yield RunDirectory(ranks.tell(out))


class _Training:
    def __init__(
        self,
        config: Config,
        students: Mapping[str, Config],
        run: RunDirectory,
        device: torch.device,
        ranks: Ranks,
        report: Reporter,
    ) -> None:
        self.config, self.students, self.run, self.device = config, students, run, device
        self.ranks, self.report = ranks, report
        self.inductive = config.data.setting == "inductive"
        self.stages = Stages(run.path)
        self.scratch = run.path / SCRATCH
        if ranks.first:
            self.scratch.mkdir(exist_ok=True)
        self.seconds = {"load": 0.0, "influence": 0.0, "propagate": 0.0}
        self.arrays: dict[str, Tensor] = {}  # by fingerprint
        self.scores: Tensor | None = None  # influence, for the picture

    def all_seeds(self) -> Result:
        config = self.config
        start = time.perf_counter()
        source = load_source(config.data)
        self.seconds["load"] = time.perf_counter() - start
        self.report.line(describe(source))
        self.data_mark = fingerprint(source.fingerprint, config.data.of_splits())
        self.budget = Budget.of(config.resources)
        board = self.run.path / "tensorboard" if config.train.tensorboard else None
        self.history = History(self.run.path / "history.csv", board, self.ranks.first)
        results = []
        for seed in config.train.seeds:
            if self.inductive:
                self.arrays.clear()
            results.append(self.one_seed(with_split(source, config.data, seed), seed))
        names = [model for model in ("teacher", *self.students) if model in results[0]]
        metrics: Result = {
            "dataset": {
                "name": source.name,
                "nodes": source.num_nodes,
                "edges": source.num_edges,
                "features": source.num_features,
                "classes": source.num_classes,
                "provenance": source.provenance,
            },
            "setting": config.data.setting,
            "method": config.method,
            "precision": config.train.precision,
            "seeds": config.train.seeds,
            **{model: summary([r[model] for r in results]) for model in names},
            "retrained": [r["retrained"] for r in results],
            "seconds": self.seconds
            | {k: [r["seconds"][k] for r in results] for k in (*names, "total")},
            "processes": self.ranks.size,
            "environment": environment(),
        }
        if self.ranks.first:
            self.finish(metrics)
        self.ranks.wait()
        return metrics

    def finish(self, metrics: Result) -> None:
        retrained = dict(zip(metrics["seeds"], metrics["retrained"], strict=True))

        def name(seed: int, stage: str) -> str:
            if stage in retrained[seed]:
                return f"{stage}_collapsed"
            model = stage.removesuffix("_retrained")
            return model if model in retrained[seed] else stage

        rows = [row | {"stage": name(row["seed"], row["stage"])} for row in self.history.rows]
        self.history.write(rows)
        self.history.close()
        figures = self.run.path / "figures"
        training_curves(rows, figures / "training_curves.png")
        if self.scores is not None:
            influence_histogram(self.scores, figures / "influence_histogram.png")
        self.run.write_metrics(metrics)

    # What no training changes

    def influence(
        self, config: Config, dataset: NodeDataset, seed: int, taught: tuple[Tensor, str] | None
    ) -> tuple[Tensor, str]:
        """I_g `[N]`, NaN for nodes that training may not see (strict), and its fingerprint."""
        of_teacher = measures[config.influence.measure].needs_teacher
        logits, teacher = taught if taught and of_teacher else (None, None)

        def compute(path: Path | None, progress: Any) -> Tensor:
            runtime = Runtime(self.device, self.budget, self.scratch, self.ranks, progress)
            found = influence(config, dataset, runtime, logits=logits)
            if self.ranks.first and path is not None:
                save_array(path, found.scores)
            return found.scores

        per_seed = self.inductive or of_teacher
        basis = [self.data_mark, seed if per_seed else None, teacher]
        weight = config.propagation.self_loop_weight
        mark = fingerprint("influence", basis, config.influence, weight)
        file = self.place(config, "influence.npy", seed if per_seed else None)
        new = mark not in self.arrays
        scores = self.array("influence", file, mark, compute)
        if config is self.config:
            self.scores = scores
            if new and config.influence.measure != "uniform" and spread(scores).flat:
                self.report.warn(flat_warning(config))
        return scores, mark

    def inputs(self, config: Config, dataset: NodeDataset, seed: int) -> tuple[Tensor, str]:
        """What the student reads, `[N, D]`, and its fingerprint: X~, or X."""
        propagated = reads_propagated(config)
        if not propagated and config is not self.config:
            return dataset.features, "raw"
        per_seed = seed if self.inductive and propagated else None
        file = self.place(config, "propagated.npy", per_seed)
        if not propagated:  # a file all the same, for `predict`
            config = config.replace("propagation", hops=0)

        def compute(path: Path | None, progress: Any) -> Tensor:
            runtime = Runtime(self.device, self.budget, None, self.ranks, progress)
            x = student_inputs(config, dataset, runtime, out=path)
            if self.ranks.first and path is not None and not path.exists():
                save_array(path, x)
            return x

        mark = fingerprint("propagate", self.data_mark, per_seed, config.propagation)
        return self.array("propagate", file, mark, compute), mark

    def place(self, config: Config, name: str, seed: int | None) -> str | None:
        """Where in the run an array of its own student goes; those of others stay in memory."""
        if config is not self.config:
            return None
        return name if seed is None else f"seed-{seed}/{name}"

    def array(
        self,
        name: str,
        file: str | None,
        mark: str,
        compute: Callable[[Path | None, Any], Tensor],
    ) -> Tensor:
        """A stage whose result is one array, in `file` where one is given."""
        there = file is None or (self.run.path / file).is_file()
        if mark in self.arrays and self.ranks.tell(there):
            return self.arrays[mark]
        self.arrays[mark] = self.new_array(name, file, mark, compute)
        return self.arrays[mark]

    def new_array(
        self,
        name: str,
        file: str | None,
        mark: str,
        compute: Callable[[Path | None, Any], Tensor],
    ) -> Tensor:
        if file is None:
            with self.report.timed(name) as stage:
                return compute(None, stage.update)
        key, path = file.removesuffix(".npy"), self.run.path / file
        result = self.ranks.tell(self.stages.finished(key, mark))
        if result is not None:
            self.report.line(f"{name:<28} reused ({result['seconds']:.2f} s)")
            self.seconds[name] += result["seconds"]
            return self.read(path)
        if self.ranks.first:
            path.parent.mkdir(exist_ok=True)
            path.unlink(missing_ok=True)
        start = time.perf_counter()
        with self.report.stage(name) as stage:
            values = compute(path, stage.update)
            seconds = time.perf_counter() - start
            stage.result = f"{seconds:.2f} s"
        self.seconds[name] += seconds
        if self.ranks.first:
            self.stages.finish(key, mark, [file], {"seconds": seconds})
        self.ranks.wait()
        return values

    def read(self, path: Path) -> Tensor:
        """An array of the run: in memory where it takes little of what is left, else mapped."""
        if path.stat().st_size < self.budget.left() / 4:
            return torch.from_numpy(load_array(path))
        return map_array(path)

    # Trainings

    def one_seed(self, dataset: NodeDataset, seed: int) -> Result:
        config, t = self.config, self.config.train
        folder = self.run.path / f"seed-{seed}"
        if self.ranks.first:
            folder.mkdir(exist_ok=True)
        device = self.device.type
        basis = [self.data_mark, seed, t.epochs, t.patience, t.inputs, t.precision, device]
        if config.data.label_choice != "random":
            scores, mark = self.influence(config, dataset, seed, None)
            dataset = by_influence(dataset, config.data, scores)
            basis.append(mark)
        for c in self.students.values():  # before hours of training, what may fail
            if (
                methods[c.method].needs_influence
                and not measures[c.influence.measure].needs_teacher
            ):
                self.influence(c, dataset, seed, None)
            self.inputs(c, dataset, seed)
        result: Result = {"seconds": {}, "retrained": []}

        def save(name: str, model: torch.nn.Module) -> None:
            if self.ranks.first:
                save_weights(folder / f"{name}.safetensors", model)

        alone = [name for name, c in self.students.items() if not methods[c.method].needs_teacher]
        for name in alone:
            self.student(result, name, dataset, seed, basis, None, save)
        if len(alone) < len(self.students) or not self.students:
            taught = self.teach(result, dataset, seed, basis, save)
            for name in self.students:
                if name not in alone:
                    self.student(result, name, dataset, seed, basis, taught, save)
        result["seconds"]["total"] = sum(result["seconds"].values())
        return result

    def student(
        self,
        result: Result,
        name: str,
        dataset: NodeDataset,
        seed: int,
        basis: Sequence[Any],
        taught: tuple[Tensor, str] | None,
        save: Callable[[str, torch.nn.Module], None],
    ) -> None:
        """One student, and if it collapses, once more."""
        config = self.students[name]
        method, view = methods[config.method], dataset.observed_view()
        observed = dataset.parts.observed
        scores, marks = None, [basis]
        if method.needs_influence:
            scores, mark = self.influence(config, dataset, seed, taught)
            marks.append(mark)
        inputs, mark = self.inputs(config, dataset, seed)
        marks.append(mark)
        logits = None
        if taught is not None and method.needs_teacher:
            logits, mark = taught
            marks.append(mark)
        own = inputs is not dataset.features

        def seen(values: Tensor) -> Tensor:
            return values if observed is None else values[observed]

        settings = config.distillation.model_dump(
            include=None if method.settings is None else set(method.settings)
        )

        def judged(model: MLP) -> Result:
            x = FeatureMatrix(inputs).to_dense()
            ids = torch.arange(min(dataset.num_nodes, TIMED_NODES))
            some = x[ids.to(x.device)].to(self.device).float()
            return {
                **evaluate(lambda ids: classes(model, x, ids, self.device), dataset),
                "milliseconds_per_1000_nodes": milliseconds_per_1000_nodes(lambda: model(some)),
            }

        def once(config: Config, name: str) -> None:
            def work(
                runtime: Runtime, checkpoint: Checkpoint, on_epoch: OnEpoch
            ) -> Callable[[], Result]:
                model = train_student(
                    config,
                    view,
                    seen(inputs) if own else view.features,
                    None if scores is None else seen(scores),
                    None if logits is None else seen(logits),
                    runtime,
                    seed,
                    on_epoch,
                    checkpoint,
                )
                save(name, model)
                return lambda: judged(model)

            size = self.ranks.size
            mark = fingerprint(marks, config.method, config.student, settings, size)
            self.trained(result, seed, name, mark, [f"{name}.safetensors"], work)

        once(config, name)
        if method.needs_teacher and self.collapsed(result, name):
            self.report.warn(
                f"{name}: the student collapsed: its teacher's soft labels are so uniform that "
                "weight decay outweighs the loss; once more without weight decay"
            )
            again = f"{name}_retrained"
            once(config.replace("student", weight_decay=0.0), again)
            retrained = result.pop(again)
            result["seconds"][name] += result["seconds"].pop(again)
            if retrained["val"] > result[name]["val"]:
                result[name] = retrained
                result["retrained"].append(name)
                if self.ranks.first:
                    folder = self.run.path / f"seed-{seed}"
                    weights = (folder / f"{model}.safetensors" for model in (again, name))
                    shutil.copyfile(*weights)

    def teach(
        self,
        result: Result,
        dataset: NodeDataset,
        seed: int,
        basis: Sequence[Any],
        save: Callable[[str, torch.nn.Module], None],
    ) -> tuple[Tensor, str]:
        """The teacher's logits of all nodes, `[N, C]`, and the fingerprint of their making."""
        config, view = self.config, dataset.observed_view()
        path = self.run.path / f"seed-{seed}/teacher_logits.npy"

        def judged(logits: Tensor) -> Result:
            return evaluate(lambda ids: logits[ids].argmax(dim=1), dataset)

        if config.teacher.logits is not None:
            file = Path(config.teacher.logits)
            logits = load_logits(file, dataset.num_nodes, dataset.num_classes)
            result["teacher"], result["seconds"]["teacher"] = judged(logits), 0.0
            stat = file.stat()
            return logits, fingerprint(str(file), stat.st_size, stat.st_mtime_ns)

        device = teacher_device(config.teacher, self.device)
        sampled = self.ranks.tell(is_sampled(config, view, Runtime(device, self.budget)))

        def work(
            runtime: Runtime, checkpoint: Checkpoint, on_epoch: OnEpoch
        ) -> Callable[[], Result]:
            teacher = train_teacher(config, view, runtime, seed, on_epoch, checkpoint)
            save("teacher", teacher)
            if not self.ranks.first:
                return dict
            dtype = getattr(torch, config.teacher.logits_dtype)
            logits = teacher_logits(teacher, dataset, runtime, dtype)
            save_array(path, logits)

            def judge() -> Result:
                found = judged(logits)
                if not sampled:
                    whole = teacher_inputs(teacher, dataset, config.train.inputs)
                    pace = milliseconds_per_1000_nodes(lambda: teacher(*whole))
                    found["milliseconds_per_1000_nodes"] = pace
                return found

            return judge

        mark = fingerprint("teacher", basis, config.teacher, self.ranks.size if sampled else 1)
        files = ["teacher.safetensors", "teacher_logits.npy"]
        self.trained(result, seed, "teacher", mark, files, work, device, together=sampled)
        return self.read(path), mark

    def collapsed(self, result: Result, name: str) -> bool:
        """A student far below its teacher on the validation nodes, and a weight decay to blame.

        A teacher whose best epoch came early has almost uniform soft labels; the gradient of the
        distillation loss is then smaller than that of the L2 penalty. The authors' code is subject
        to it too (docs/reproduction.md).
        """
        gap = result["teacher"]["val"] - result[name]["val"]
        return gap > COLLAPSED and self.students[name].student.weight_decay > 0

    def trained(
        self,
        result: Result,
        seed: int,
        model: str,
        mark: str,
        files: Sequence[str],
        work: Work,
        device: torch.device | None = None,
        together: bool = True,
    ) -> None:
        """One model's training: its metrics and seconds into `result`, its epochs into the history.

        Args:
            mark: the fingerprint of what it is trained on.
            files: what it leaves in the seed's folder.
            together: all processes train it, else the first one alone.
        """
        key, label = f"seed-{seed}/{model}", f"seed {seed}: {model}"
        done = self.ranks.tell(self.stages.finished(key, mark))
        if done is not None:
            self.report.line(f"{label:<28} reused, {_told(done)}")
        else:
            if together or self.ranks.first:
                ranks = self.ranks if together else ALONE
                path, every = self.run.path / CHECKPOINT, self.config.train.checkpoint_every
                checkpoint = Checkpoint(path, mark, every, ranks)
                runtime = Runtime(device or self.device, self.budget, self.scratch, ranks)
                done = self.one_training(seed, model, label, runtime, checkpoint, work)
            if self.ranks.first:
                places = [f"seed-{seed}/{name}" for name in files]
                self.stages.finish(key, mark, places, done or {})
                (self.run.path / CHECKPOINT).unlink(missing_ok=True)
            done = self.ranks.tell(done)
        assert done is not None
        result["seconds"][model] = done["seconds"]
        result[model] = done["metrics"]

    def one_training(
        self,
        seed: int,
        model: str,
        label: str,
        runtime: Runtime,
        checkpoint: Checkpoint,
        work: Work,
    ) -> Result:
        first = True
        section = self.config.teacher if model == "teacher" else self.config.student
        epochs = section.epochs or self.config.train.epochs
        with self.report.stage(label, epochs) as stage:

            def on_epoch(epoch: int, values: Mapping[str, float]) -> None:
                nonlocal first
                if first:  # what an earlier process left of later epochs
                    self.history.begin(seed, model, epoch - 1)
                    first = False
                self.history.add({"seed": seed, "stage": model, "epoch": epoch, **values})
                stage.update(epoch, note=f"validation {values['val_accuracy']:.3f}")

            judge = work(runtime, checkpoint, on_epoch)
            done = {"seconds": checkpoint.seconds, "metrics": judge()}
            if self.ranks.first:
                stage.result = _told(done)
        return done


def _told(done: Result) -> str:
    found = done["metrics"]
    return f"{done['seconds']:.1f} s, validation {found['val']:.4f}, test {found['test']:.4f}"
