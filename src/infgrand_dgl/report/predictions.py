"""What the stored models of a run say of nodes, and the nodes' influence."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data import NodeDataset
from ..errors import InputError
from ..experiment.directory import RunDirectory
from ..propagation.inputs import student_inputs
from ..registry import methods
from ..serving import load_student, predict
from ..system.arrays import load_array
from ..system.runtime import Runtime


@dataclass(frozen=True)
class Predictions:
    """Of some labelled nodes, int64 `[n]`, by each model."""

    nodes: np.ndarray
    labels: np.ndarray
    probabilities: dict[str, np.ndarray]  # by model, [n, C]

    def correct(self, model: str) -> np.ndarray:
        """Whether the likeliest class is the label, bool `[n]`."""
        return self.probabilities[model].argmax(axis=1) == self.labels


def predictions(
    run: RunDirectory, dataset: NodeDataset, seed: int, nodes: Tensor, models: Sequence[str]
) -> Predictions:
    """Of the models of a seed, on the nodes `[n]`.

    Raises:
        InputError: a file of the run is missing, damaged, or of another graph.
    """
    probabilities = {}
    for model in models:
        if model == "teacher":
            probabilities[model] = _teacher(run, dataset, seed, nodes)
        else:
            inputs = _inputs(run, dataset, seed, nodes, model)
            student = load_student(run.weights(seed, model))
            probabilities[model] = predict(student, inputs).numpy()
    return Predictions(nodes.numpy(), dataset.labels[nodes].numpy(), probabilities)


def _teacher(run: RunDirectory, dataset: NodeDataset, seed: int, nodes: Tensor) -> np.ndarray:
    saved = run.config.teacher.logits
    path = Path(saved) if saved else run.teacher_logits(seed)
    logits = torch.from_numpy(_rows(load_array(path, mmap=True), dataset, nodes, path))
    return logits.float().softmax(dim=1).numpy()


def _inputs(
    run: RunDirectory, dataset: NodeDataset, seed: int, nodes: Tensor, model: str
) -> np.ndarray:
    """What an MLP reads, `[n, D]`; the run holds that of the student alone."""
    if model == "student":
        return _rows(run.propagated(seed), dataset, nodes, run.path / "propagated.npy")
    if methods[model].propagated:
        x = student_inputs(run.config, dataset, Runtime.on("cpu", run.config.resources))
        return x[nodes].float().numpy()
    return dataset.matrix.gather(nodes).numpy()


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
