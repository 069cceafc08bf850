"""What the stored models of a run say of nodes, and the nodes' influence."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..config.fields import Task
from ..data import NodeDataset
from ..errors import InputError
from ..experiment.directory import RunDirectory
from ..propagation.inputs import student_inputs
from ..propagation.positions import positions
from ..registry import methods
from ..serving import has_labels, load_student, predict, served
from ..system.arrays import load_array
from ..system.runtime import Runtime


@dataclass(frozen=True)
class Predictions:
    """Of some labelled nodes, int64 `[n]`, by each model.

    Args:
        labels: as the dataset has them, `[n]` or `[n, C]`.
        outputs: by model what `served` makes of its outputs, `[n, C]`.
    """

    nodes: np.ndarray
    labels: np.ndarray
    outputs: dict[str, np.ndarray]
    task: Task = "classification"

    def correct(self, model: str) -> np.ndarray:
        """Whether the likeliest class is the label, bool `[n]`."""
        return self.outputs[model].argmax(axis=1) == self.labels

    def score(self, model: str) -> np.ndarray:
        """Of each node, `[n]`: the share of its known labels that are right, or the mean error of
        its known numbers, absolute, in standard deviations of theirs over these nodes."""
        if self.task == "multilabel":
            said = has_labels(torch.from_numpy(self.outputs[model]))
            values = np.where(np.isnan(self.labels), np.nan, said == self.labels)
        else:
            values = np.abs(self.residuals(model)) / self.spread()
        return np.nanmean(values, axis=1)

    def residuals(self, model: str) -> np.ndarray:
        """What a model says more than is true, float64 `[n, C]`, NaN where that is not known."""
        return self.outputs[model].astype(np.float64) - self.labels

    def spread(self) -> np.ndarray:
        """Standard deviation of each known number, float64 `[C]`; 1 where all are equal."""
        std = np.ma.masked_invalid(self.labels.astype(np.float64)).std(axis=0).filled(0)
        return np.where(std > 0, std, 1)


def predictions(
    run: RunDirectory, dataset: NodeDataset, seed: int, nodes: Tensor, models: Sequence[str]
) -> Predictions:
    """Of the models of a seed, on the nodes `[n]`.

    Raises:
        InputError: a file of the run is missing, damaged, or of another graph.
    """
    outputs = {}
    for model in models:
        if model == "teacher":
            outputs[model] = _teacher(run, dataset, seed, nodes)
        else:
            inputs = _inputs(run, dataset, seed, nodes, model)
            student = load_student(run.weights(seed, model))
            outputs[model] = predict(student, inputs, dataset.task).numpy()
    return Predictions(nodes.numpy(), dataset.labels[nodes].numpy(), outputs, dataset.task)


def _teacher(run: RunDirectory, dataset: NodeDataset, seed: int, nodes: Tensor) -> np.ndarray:
    saved = run.config.teacher.logits
    path = Path(saved) if saved else run.teacher_logits(seed)
    logits = torch.from_numpy(_rows(load_array(path, mmap=True), dataset, nodes, path))
    return served(logits.float(), dataset.task).numpy()


def _inputs(
    run: RunDirectory, dataset: NodeDataset, seed: int, nodes: Tensor, model: str
) -> np.ndarray:
    """What a student reads, `[n, D]`; the run holds that of the student alone."""
    if model == "student":
        return _rows(run.propagated(seed), dataset, nodes, run.path / "propagated.npy")
    runtime = Runtime.on("cpu", run.config.resources)
    if methods[model].propagated:
        x = student_inputs(run.config.baseline(model), dataset, runtime)[nodes].float()
    else:
        x = dataset.matrix.gather(nodes)
    if methods[model].positions:  # a baseline's are in no file
        x = torch.cat([x, positions(run.config, dataset, seed, None, runtime)[nodes]], dim=1)
    return x.numpy()


def _rows(array: np.ndarray, dataset: NodeDataset, nodes: Tensor, path: Path) -> np.ndarray:
    if array.ndim != 2 or len(array) != dataset.num_nodes:
        found = f"{array.dtype} {list(array.shape)}"
        raise InputError(f"{path}: expected [{dataset.num_nodes}, n], found {found}")
    return array[nodes.numpy()]


def influence_scores(run: RunDirectory, seed: int, num_nodes: int) -> np.ndarray | None:
    """`[N]`, NaN for nodes without a score; None where the run needed none."""
    path = run.array("influence.npy", seed)
    if not path.exists() and not methods[run.config.method].needs_influence:
        return None
    scores = load_array(path)
    if scores.shape != (num_nodes,) or scores.dtype.kind != "f":
        found = f"{scores.dtype} {list(scores.shape)}"
        raise InputError(f"{path}: expected floating point [{num_nodes}], found {found}")
    return scores
