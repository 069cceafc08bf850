"""The stages, composed once: load, influence, propagate, teacher, distil, evaluate."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .config import Config
from .console import Reporter, Stage
from .data import NodeDataset, load_source, with_split
from .environment import environment
from .errors import InputError
from .figures import influence_histogram, training_curves
from .influence import spread
from .nn.mlp import MLP
from .precompute import describe, flat_warning, influence, resolve_device, student_inputs
from .run import RunDirectory, new_run, save_array, save_weights
from .training.evaluation import evaluate, summary
from .training.loop import OnEpoch
from .training.student import train_mlp, train_student
from .training.teacher import teacher_device, teacher_inputs, teacher_logits, train_teacher

Result = dict[str, Any]

# A student this far below its teacher on the validation nodes has not learnt from it.
COLLAPSED = 0.05


def train(config: Config, out: Path, *, overwrite: bool, report: Reporter) -> Result:
    """Runs an experiment over all its seeds into the run directory `out`; returns its metrics."""
    device = resolve_device(config.train.device)
    if config.distillation.loss == "apply_edges" and device.type != "cpu":
        raise InputError(
            "distillation.loss: apply_edges runs on the CPU; on a GPU take collapsed or edge_kl"
        )
    with new_run(out, overwrite) as run:
        run.write_text("config.yaml", config.to_yaml())
        return _Training(config, run, device, report).all_seeds()


@dataclass(frozen=True)
class _Prepared:
    """What depends on the graph and on what may be seen of it, but not on any training."""

    influence: Tensor  # [N], NaN for nodes that training may not see (strict)
    inputs: Tensor  # X~ [N, D]


class _Training:
    def __init__(
        self, config: Config, run: RunDirectory, device: torch.device, report: Reporter
    ) -> None:
        self.config, self.run, self.device, self.report = config, run, device, report
        self.inductive = config.data.setting == "inductive"
        self.history: list[dict[str, Any]] = []
        self.seconds = {"load": 0.0, "influence": 0.0, "propagate": 0.0}

    def all_seeds(self) -> Result:
        config = self.config
        start = time.perf_counter()
        source = load_source(config.data)
        self.seconds["load"] = time.perf_counter() - start
        self.report.line(describe(source))
        prepared: _Prepared | None = None
        results = []
        for seed in config.train.seeds:
            start = time.perf_counter()
            dataset = with_split(source, config.data, seed)
            if prepared is None or self.inductive:
                prepared = self.prepare(dataset, seed)
            results.append(self.one_seed(dataset, prepared, seed))
            results[-1]["seconds"]["total"] = time.perf_counter() - start
        assert prepared is not None
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
            **{
                model: summary([r[model] for r in results])
                for model in ("mlp", "teacher", "student")
                if model in results[0]
            },
            "retrained": [r["retrained"] for r in results],
            "seconds": self.seconds
            | {k: [r["seconds"][k] for r in results] for k in ("teacher", "student", "total")},
            "environment": environment(),
        }
        self.run.write_history(self.history)
        figures = self.run.path / "figures"
        training_curves(self.history, figures / "training_curves.png")
        influence_histogram(prepared.influence, figures / "influence_histogram.png")
        self.run.write_metrics(metrics)
        return metrics

    def prepare(self, dataset: NodeDataset, seed: int) -> _Prepared:
        """Influence and propagated features, written to the run (inductive: to the seed)."""
        config = self.config
        folder = self.run.seed(seed) if self.inductive else self.run.path
        with self.timed("influence") as stage:
            scores = influence(config, dataset, self.device).scores
            spread_ = spread(scores)
            stage.result = f"coefficient of variation {spread_.coefficient_of_variation:.3f}"
        if spread_.flat:
            self.report.warn(flat_warning(config))
        with self.timed("propagate") as stage:
            inputs = student_inputs(config, dataset, self.device)
            stage.result = f"{config.propagation.hops} hops"
        save_array(folder / "influence.npy", scores)
        save_array(folder / "propagated.npy", inputs)
        return _Prepared(scores, inputs)

    def one_seed(self, dataset: NodeDataset, prepared: _Prepared, seed: int) -> Result:
        config, device = self.config, self.device
        folder, view = self.run.seed(seed), dataset.observed_view()
        seen = slice(None) if dataset.parts.observed is None else dataset.parts.observed
        result: Result = {"seconds": {}}

        if config.train.mlp:
            with self.training(seed, "mlp", result, dataset) as (on_epoch, finish):
                mlp = train_mlp(config, view, device, seed, on_epoch)
                features = dataset.dense_features().to(device)
                finish(lambda: mlp(features))
            save_weights(folder / "mlp.safetensors", mlp)

        with self.training(seed, "teacher", result, dataset) as (on_epoch, finish):
            at = teacher_device(config.teacher, device)
            teacher = train_teacher(config, view, at, seed, on_epoch)
            logits = teacher_logits(teacher, dataset)
            whole = teacher_inputs(teacher, dataset, config.train.inputs)
            finish(lambda: teacher(*whole), logits)
        save_weights(folder / "teacher.safetensors", teacher)
        save_array(folder / "teacher_logits.npy", logits)

        def distil(config: Config, name: str) -> MLP:
            with self.training(seed, name, result, dataset) as (on_epoch, finish):
                student = train_student(
                    config,
                    view,
                    prepared.inputs[seen],
                    prepared.influence[seen],
                    logits[seen],
                    device,
                    seed,
                    on_epoch,
                )
                finish(lambda: student(prepared.inputs))
            return student

        student = distil(config, "student")
        result["retrained"] = False
        if self.collapsed(result):
            self.report.warn(
                "the student collapsed: its teacher's soft labels are so uniform that "
                "weight decay outweighs the loss; once more without weight decay"
            )
            other = distil(config.replace("student", weight_decay=0.0), "student_retrained")
            retrained = result.pop("student_retrained")
            result["seconds"]["student"] += result["seconds"].pop("student_retrained")
            if retrained["val"] > result["student"]["val"]:
                student, result["student"], result["retrained"] = other, retrained, True
                self.rename_stage(seed, "student", "student_collapsed")
                self.rename_stage(seed, "student_retrained", "student")
        save_weights(folder / "student.safetensors", student)
        return result

    def rename_stage(self, seed: int, old: str, new: str) -> None:
        for row in self.history:
            if (row["seed"], row["stage"]) == (seed, old):
                row["stage"] = new

    def collapsed(self, result: Result) -> bool:
        """A student far below its teacher on the validation nodes, and a weight decay to blame.

        A teacher whose best epoch came early has almost uniform soft labels; the gradient of the
        distillation loss is then smaller than that of the L2 penalty. The authors' code is subject
        to it too (docs/reproduction.md).
        """
        gap = result["teacher"]["val"] - result["student"]["val"]
        return gap > COLLAPSED and self.config.student.weight_decay > 0

    @contextmanager
    def timed(self, name: str) -> Iterator[Stage]:
        start = time.perf_counter()
        with self.report.stage(name) as stage:
            yield stage
            seconds = time.perf_counter() - start
            self.seconds[name] += seconds
            stage.result = f"{seconds:.2f} s, {stage.result}"

    @contextmanager
    def training(
        self, seed: int, model: str, result: Result, dataset: NodeDataset
    ) -> Iterator[tuple[OnEpoch, Callable[..., None]]]:
        """One model's training: its history, its metrics into `result`, its progress."""
        start = time.perf_counter()
        with self.report.stage(f"seed {seed}: {model}", self.config.train.epochs) as stage:

            def on_epoch(epoch: int, values: Mapping[str, float]) -> None:
                self.history.append({"seed": seed, "stage": model, "epoch": epoch, **values})
                stage.update(epoch, f"validation {values['val_accuracy']:.3f}")

            def finish(forward: Callable[[], Tensor], logits: Tensor | None = None) -> None:
                seconds = time.perf_counter() - start
                result["seconds"][model] = seconds
                result[model] = evaluate(forward, dataset, logits)
                stage.result = (
                    f"{seconds:.1f} s, validation {result[model]['val']:.4f}, "
                    f"test {result[model]['test']:.4f}"
                )

            yield on_epoch, finish
