"""A student without its graph: kept in one file, loaded, asked."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..config.fields import Task
from ..data.streams import refuse_mask
from ..errors import InputError, check_choice
from ..nn.mlp import MLP
from ..nn.students import build
from ..system.arrays import first_not_finite
from ..system.reading import reading
from ..system.writing import writing


def save_weights(
    path: Path,
    model: nn.Module,
    classes: Sequence[int] | Sequence[str] | None = None,
    task: Task = "classification",
    **metadata: str,
) -> None:
    """The state_dict; a student's shape rides along as JSON, so that its file is complete.

    Args:
        classes: codes or names of the classes, or names of labels or numbers, by output; None: they
            are the outputs' numbers.
        task: what the outputs are.
        metadata: what else the file is to say, in JSON.
    """
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    # (Of several keys the order in a file is another every time.)
    metadata |= {} if task == "classification" else {"task": json.dumps(task)}
    if isinstance(model, MLP):
        metadata["mlp"] = json.dumps(model.shape)
    if classes is not None:
        metadata["classes"] = json.dumps(classes)
    with writing(path) as partial:
        save_file(tensors, partial, metadata=metadata or None)


def load_student(path: Path) -> MLP:
    """A student in eval mode from the one file that `train` wrote.

    Raises:
        InputError: there is no such file, or something else is in it.
    """
    with reading(path, "a student written by train"):
        with safe_open(path, framework="pt") as file:
            shape = json.loads((file.metadata() or {})["mlp"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model = build(shape)
        model.load_state_dict(weights)
    return model.eval()


def load_task(path: Path) -> Task:
    """What the outputs of a student are, from its file; classification where it does not say.

    Raises:
        InputError: there is no such file, or something else is in it.
    """
    with reading(path, "a student written by train"):
        task: Task = _stored(path, "task") or "classification"
        if task not in get_args(Task):
            raise ValueError(f"task: found {task!r}")
        return task


def load_classes(path: Path) -> np.ndarray | None:
    """Codes or names of the outputs, `[C]`, from the file of a student.

    None where they are the outputs' numbers.

    Raises:
        InputError: there is no such file, or something else is in it.
    """
    with reading(path, "a student written by train"):
        stored = _stored(path, "classes")
        if stored is None:
            return None
        classes = np.array(stored)
        if classes.ndim != 1 or classes.dtype.kind not in "iU":
            raise ValueError(f"classes: found {classes.dtype} {list(classes.shape)}")
        return classes


def _stored(path: Path, key: str) -> Any:
    with safe_open(path, framework="pt") as file:
        return json.loads((file.metadata() or {}).get(key, "null"))


def served(logits: Tensor, task: Task, temperature: float = 1.0) -> Tensor:
    """What a model's outputs `[n, C]` say: probabilities of the classes, or of each label by
    itself (multilabel), or the numbers as they are (regression); `[n, C]`.

    Args:
        temperature: that logits are divided by (`training.calibration`).
    """
    if task == "regression":
        return logits
    logits = logits if temperature == 1 else logits / temperature
    return logits.sigmoid() if task == "multilabel" else logits.softmax(dim=1)


def has_labels(probabilities: Tensor) -> np.ndarray:
    """Which labels are likelier than not, of the probabilities of each, `[n, C]`: int8 `[n, C]`."""
    return (probabilities > 0.5).to(torch.int8).numpy()


def likeliest(probabilities: Tensor, classes: np.ndarray | None) -> np.ndarray:
    """The class of each row of `[n, C]`: its number, int64, or its code or name."""
    numbers = probabilities.argmax(dim=1).numpy()
    return numbers if classes is None else classes[numbers]


def ranked(probabilities: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """The likeliest classes, `[n, top]`: their probabilities, and their numbers, int64; of equals
    the lower number first, as argmax has it."""
    values, order = probabilities.sort(dim=1, descending=True, stable=True)
    return values[:, :top], order[:, :top]


def rows_of(inputs: np.ndarray, nodes: np.ndarray, where: str) -> np.ndarray:
    """The rows of some nodes, `[n, D]`, in memory.

    Args:
        inputs: of all nodes, `[N, D]`.
        nodes: ids `[n]`, any integers; repetitions are fine, but for a mask, N zeros and ones.

    Raises:
        InputError: starts with `where`; they are no ids of nodes.
    """
    if nodes.ndim != 1 or nodes.dtype.kind not in "iu":
        found = f"{nodes.dtype} {list(nodes.shape)}"
        raise InputError(f"{where}: expected integers [n], found {found}")
    wrong = (nodes < 0) | (nodes >= len(inputs))
    if wrong.any():
        expected = f"expected ids 0 to {len(inputs) - 1}"
        raise InputError(f"{where}: {expected}, found {nodes[wrong][0]}")
    refuse_mask(len(nodes), int(nodes.max(initial=0)), len(inputs), where)
    return inputs[nodes]


def expected_inputs(model: MLP) -> str:
    """What a student reads, for messages."""
    hops = model.shape.get("hops")
    sides = "" if hops is None else f" (hops 0 to {hops} side by side)"
    return f"floating point [n, {model.shape['in_features']}]{sides}"


@torch.inference_mode()
def predict(
    model: MLP,
    inputs: np.ndarray,
    task: Task = "classification",
    batch: int = 1 << 16,
    *,
    temperature: float = 1.0,
) -> Tensor:
    """float32 `[n, C]`: what the student alone says (`served`) of its inputs `[n, D]`.

    Args:
        model: in eval mode.
        inputs: of any floating-point type; may be mapped from a file.
        task: what its outputs are (`load_task`).
        batch: how many rows are worked on together.
        temperature: as of `served`.

    Raises:
        InputError: another shape or type, NaN or infinity in a row, or an unknown task.
    """
    check_choice("task", task, get_args(Task))
    if not isinstance(inputs, np.ndarray):
        found = type(inputs).__name__
        raise InputError(f"propagated: expected an array of NumPy, found {found}")
    width = model.shape["in_features"]
    if inputs.ndim != 2 or inputs.shape[1] != width or inputs.dtype.kind != "f":
        found = f"{inputs.dtype} {list(inputs.shape)}"
        raise InputError(f"propagated: expected {expected_inputs(model)}, found {found}")
    parts = []
    for start in range(0, len(inputs), batch):
        x = torch.from_numpy(np.array(inputs[start : start + batch], dtype=np.float32))
        if (row := first_not_finite(x)) is not None:
            raise InputError(
                f"propagated: expected finite numbers, found others in row {start + row}"
            )
        parts.append(served(model(x), task, temperature))
    return torch.cat(parts) if parts else torch.empty(0, model.shape["classes"])
