"""The stages, composed once: load, influence, propagate, teacher, distil, evaluate.

A stage that is finished, with the same inputs, is taken from the run directory; a training goes on
from its checkpoint (`--resume`, and `--overwrite` without `--fresh`).
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .config import Config
from .console import Reporter
from .data import NodeDataset, load_source, with_split
from .distributed import ALONE, Ranks, joined
from .environment import environment
from .errors import InputError
from .figures import influence_histogram, training_curves
from .files import load_array, map_array
from .history import History
from .influence import spread
from .nn.mlp import MLP
from .precompute import describe, flat_warning, influence, resolve_device, student_inputs
from .resources import Budget
from .run import CHECKPOINT, SCRATCH, RunDirectory, new_run, partial_of, save_weights
from .stages import Stages, fingerprint
from .training.checkpoint import Checkpoint
from .training.evaluation import evaluate, milliseconds_per_1000_nodes, summary
from .training.loop import OnEpoch, Surroundings
from .training.student import classes, train_mlp, train_student
from .training.teacher import (
    is_sampled,
    load_logits,
    teacher_device,
    teacher_inputs,
    teacher_logits,
    train_teacher,
)
from .writing import save_array

Result = dict[str, Any]
# Trains, and returns what then judges the model.
Work = Callable[[Surroundings, OnEpoch], Callable[[], Result]]

# A student this far below its teacher on the validation nodes has not learnt from it.
COLLAPSED = 0.05

TIMED_NODES = 1 << 16  # of a pass whose time is reported


def train(
    config: Config,
    out: Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    fresh: bool = False,
    report: Reporter,
) -> Result:
    """Runs an experiment over all its seeds into the run directory `out`; returns its metrics.

    Every process of a torchrun calls it; the first one writes. `out` must then lie on a file
    system that all of them see. For the flags see `run.new_run`.
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
            return _Training(config, run, device, ranks, report).all_seeds()


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


@dataclass(frozen=True)
class _Prepared:
    """What depends on the graph and on what may be seen of it, but not on any training."""

    influence: Tensor  # [N], NaN for nodes that training may not see (strict)
    inputs: Tensor  # X~ [N, D]
    mark: str  # the fingerprint of both


class _Training:
    def __init__(
        self,
        config: Config,
        run: RunDirectory,
        device: torch.device,
        ranks: Ranks,
        report: Reporter,
    ) -> None:
        self.config, self.run, self.device = config, run, device
        self.ranks, self.report = ranks, report
        self.inductive = config.data.setting == "inductive"
        self.stages = Stages(run.path)
        self.scratch = run.path / SCRATCH
        if ranks.first:
            self.scratch.mkdir(exist_ok=True)
        self.seconds = {"load": 0.0, "influence": 0.0, "propagate": 0.0}

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
        prepared: _Prepared | None = None
        results = []
        for seed in config.train.seeds:
            dataset = with_split(source, config.data, seed)
            if prepared is None or self.inductive:
                prepared = self.prepare(dataset, seed)
            results.append(self.one_seed(dataset, prepared, seed))
        assert prepared is not None
        names = [model for model in ("mlp", "teacher", "student") if model in results[0]]
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
            "seeds": config.train.seeds,
            **{model: summary([r[model] for r in results]) for model in names},
            "retrained": [r["retrained"] for r in results],
            "seconds": self.seconds
            | {k: [r["seconds"][k] for r in results] for k in (*names, "total")},
            "processes": self.ranks.size,
            "environment": environment(),
        }
        if self.ranks.first:
            self.finish(metrics, prepared)
        self.ranks.wait()
        return metrics

    def finish(self, metrics: Result, prepared: _Prepared) -> None:
        seeds = zip(metrics["seeds"], metrics["retrained"], strict=True)
        retrained = {seed for seed, again in seeds if again}
        names = {"student": "student_collapsed", "student_retrained": "student"}
        rows = [
            row | {"stage": names.get(row["stage"], row["stage"])}
            if row["seed"] in retrained
            else row
            for row in self.history.rows
        ]
        self.history.write(rows)
        self.history.close()
        figures = self.run.path / "figures"
        training_curves(rows, figures / "training_curves.png")
        influence_histogram(prepared.influence, figures / "influence_histogram.png")
        self.run.write_metrics(metrics)

    # What is computed once

    def prepare(self, dataset: NodeDataset, seed: int) -> _Prepared:
        """Influence and propagated features, written to the run (inductive: to the seed)."""
        config, folder = self.config, f"seed-{seed}/" if self.inductive else ""
        basis = [self.data_mark, seed if self.inductive else None]
        w = config.propagation.self_loop_weight

        def scored(path: Path, progress: Any) -> Tensor:
            found = influence(
                config,
                dataset,
                self.device,
                budget=self.budget,
                scratch=self.scratch,
                ranks=self.ranks,
                progress=progress,
            )
            if self.ranks.first:
                save_array(path, found.scores)
            return found.scores

        marks = [fingerprint("influence", basis, config.influence, w)]
        scores = self.array("influence", f"{folder}influence.npy", marks[0], scored)
        if spread(scores).flat:
            self.report.warn(flat_warning(config))

        def propagated(path: Path, progress: Any) -> Tensor:
            x = student_inputs(
                config,
                dataset,
                self.device,
                out=path,
                budget=self.budget,
                ranks=self.ranks,
                progress=progress,
            )
            if self.ranks.first and not path.exists():
                save_array(path, x)
            return x

        marks.append(fingerprint("propagate", basis, config.propagation))
        inputs = self.array("propagate", f"{folder}propagated.npy", marks[1], propagated)
        return _Prepared(scores, inputs, fingerprint(marks))

    def array(
        self, name: str, file: str, mark: str, compute: Callable[[Path, Any], Tensor]
    ) -> Tensor:
        """A stage whose result is one array, in `file`."""
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

    def one_seed(self, dataset: NodeDataset, prepared: _Prepared, seed: int) -> Result:
        config, device = self.config, self.device
        view, t = dataset.observed_view(), config.train
        folder = self.run.path / f"seed-{seed}"
        if self.ranks.first:
            folder.mkdir(exist_ok=True)
        seen = slice(None) if dataset.parts.observed is None else dataset.parts.observed
        basis = [self.data_mark, seed, t.epochs, t.patience, t.inputs, device.type]
        result: Result = {"seconds": {}}

        def save(name: str, model: torch.nn.Module) -> None:
            if self.ranks.first:
                save_weights(folder / f"{name}.safetensors", model)

        def judged(model: MLP, inputs: Tensor) -> Result:
            ids = torch.arange(min(dataset.num_nodes, TIMED_NODES))
            some = inputs[ids.to(inputs.device)].to(device).float()
            return {
                **evaluate(lambda ids: classes(model, inputs, ids, device), dataset),
                "milliseconds_per_1000_nodes": milliseconds_per_1000_nodes(lambda: model(some)),
            }

        if t.mlp:

            def plain(at: Surroundings, on_epoch: OnEpoch) -> Callable[[], Result]:
                mlp = train_mlp(config, view, at, seed, on_epoch)
                save("mlp", mlp)
                x = dataset.features
                return lambda: judged(mlp, x if x.layout == torch.strided else x.to_dense())

            mark = fingerprint("mlp", basis, config.student, t.precision, self.ranks.size)
            self.trained(result, seed, "mlp", mark, ["mlp.safetensors"], plain)

        logits, teacher_mark = self.teach(result, dataset, seed, basis, save)

        def distil(config: Config, name: str) -> None:
            def work(at: Surroundings, on_epoch: OnEpoch) -> Callable[[], Result]:
                student = train_student(
                    config,
                    view,
                    prepared.inputs[seen],
                    prepared.influence[seen],
                    logits[seen],
                    at,
                    seed,
                    on_epoch,
                )
                save(name, student)
                return lambda: judged(student, prepared.inputs)

            mark = fingerprint(
                [basis, prepared.mark, teacher_mark, t.precision, self.ranks.size],
                config.student,
                config.distillation,
            )
            self.trained(result, seed, name, mark, [f"{name}.safetensors"], work)

        distil(config, "student")
        result["retrained"] = False
        if self.collapsed(result):
            self.report.warn(
                "the student collapsed: its teacher's soft labels are so uniform that "
                "weight decay outweighs the loss; once more without weight decay"
            )
            distil(config.replace("student", weight_decay=0.0), "student_retrained")
            retrained = result.pop("student_retrained")
            result["seconds"]["student"] += result["seconds"].pop("student_retrained")
            if retrained["val"] > result["student"]["val"]:
                result["student"], result["retrained"] = retrained, True
                if self.ranks.first:
                    again = folder / "student_retrained.safetensors"
                    shutil.copyfile(again, folder / "student.safetensors")
        result["seconds"]["total"] = sum(result["seconds"].values())
        return result

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
        sampled = self.ranks.tell(is_sampled(config, view, device, self.budget))

        def work(at: Surroundings, on_epoch: OnEpoch) -> Callable[[], Result]:
            teacher = train_teacher(config, view, at, seed, on_epoch)
            save("teacher", teacher)
            if not self.ranks.first:
                return dict
            logits = teacher_logits(
                teacher,
                dataset,
                budget=self.budget,
                scratch=self.scratch,
                dtype=getattr(torch, config.teacher.logits_dtype),
            )
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

    def collapsed(self, result: Result) -> bool:
        """A student far below its teacher on the validation nodes, and a weight decay to blame.

        A teacher whose best epoch came early has almost uniform soft labels; the gradient of the
        distillation loss is then smaller than that of the L2 penalty. The authors' code is subject
        to it too (docs/reproduction.md).
        """
        gap = result["teacher"]["val"] - result["student"]["val"]
        return gap > COLLAPSED and self.config.student.weight_decay > 0

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
                at = Surroundings(
                    device or self.device, self.budget, ranks, checkpoint, self.scratch
                )
                done = self.one_training(seed, model, label, at, work)
            if self.ranks.first:
                places = [f"seed-{seed}/{name}" for name in files]
                self.stages.finish(key, mark, places, done or {})
                (self.run.path / CHECKPOINT).unlink(missing_ok=True)
            done = self.ranks.tell(done)
        assert done is not None
        result["seconds"][model] = done["seconds"]
        result[model] = done["metrics"]

    def one_training(
        self, seed: int, model: str, label: str, at: Surroundings, work: Work
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

            judge = work(at, on_epoch)
            seconds = at.checkpoint.seconds if at.checkpoint else 0.0
            done = {"seconds": seconds, "metrics": judge()}
            if self.ranks.first:
                stage.result = _told(done)
        return done


def _told(done: Result) -> str:
    found = done["metrics"]
    return f"{done['seconds']:.1f} s, validation {found['val']:.4f}, test {found['test']:.4f}"
