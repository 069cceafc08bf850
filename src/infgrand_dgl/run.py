"""The run directory: what a training writes, and how it is read back.

    config.yaml               the resolved experiment
    metrics.json              accuracies, macro-F1 and seconds; its presence says the run is whole
    history.csv               losses and accuracies of every epoch
    influence.npy             I_g, float32 [N]      } in seed-<S>/ when inductive
    propagated.npy            X~, float32 [N, D]    }
    seed-<S>/teacher.safetensors, student.safetensors, teacher_logits.npy
    figures/*.png

A run is written under a temporary name and renamed when it is whole.
"""

import csv
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .config import Config, load_config
from .errors import InputError
from .nn.mlp import MLP

HISTORY = (
    "seed",
    "stage",
    "epoch",
    "loss",
    "supervised_loss",
    "distillation_loss",
    "val_accuracy",
    "test_accuracy",
    "test_observed_accuracy",
)


@contextmanager
def writing(path: Path, argument: str = "--out") -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise InputError(f"{argument} {path}: cannot be written ({error.strerror})") from None
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o666 & ~_umask())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def check_writable(path: Path, argument: str = "--out") -> None:
    """Fails before hours of work rather than after them."""
    with suppress(InterruptedError), writing(path, argument):
        raise InterruptedError


def save_array(path: Path, array: Tensor | np.ndarray) -> None:
    values = array.detach().cpu().numpy() if isinstance(array, Tensor) else array
    with writing(path) as partial, partial.open("wb") as file:
        np.save(file, values)


@contextmanager
def new_run(out: Path, overwrite: bool) -> Iterator["RunDirectory"]:
    """A run directory to fill; it appears as `out` when the block ends well, or not at all.

    Raises:
        InputError: `out` holds something and `overwrite` is not given (or what it holds is no
            run), or cannot be written.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        if not overwrite:
            raise InputError(f"--out {out}: exists and is not empty; --overwrite replaces it")
        if not (out / "metrics.json").exists():
            raise InputError(f"--out {out}: --overwrite replaces a run, and this is none")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror})") from None
    try:
        yield RunDirectory(partial)
        partial.chmod(0o777 & ~_umask())
        if out.exists():
            previous = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
            out.replace(previous)
            partial.replace(out)
            shutil.rmtree(previous)
        else:
            partial.replace(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


class RunDirectory:
    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: Path) -> "RunDirectory":
        if not (path / "metrics.json").is_file() or not (path / "config.yaml").is_file():
            raise InputError(f"--run {path}: expected a run directory (config.yaml, metrics.json)")
        return cls(path)

    @cached_property
    def config(self) -> Config:
        return load_config(self.path / "config.yaml")

    @cached_property
    def metrics(self) -> dict[str, Any]:
        return json.loads((self.path / "metrics.json").read_text())

    def seed(self, seed: int) -> Path:
        folder = self.path / f"seed-{seed}"
        folder.mkdir(exist_ok=True)
        return folder

    def write_text(self, name: str, text: str) -> None:
        with writing(self.path / name) as partial:
            partial.write_text(text)

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        self.write_text("metrics.json", json.dumps(metrics, indent=2) + "\n")

    def write_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        with (
            writing(self.path / "history.csv") as partial,
            partial.open("w", newline="") as file,
        ):
            writer = csv.DictWriter(file, HISTORY)
            writer.writeheader()
            writer.writerows(rows)

    # Reading

    def best_seed(self) -> int:
        """The seed whose student did best on the validation nodes; the first of equals."""
        val = self.metrics["student"]["val"]["per_seed"]
        return self.metrics["seeds"][int(np.argmax(val))]

    def propagated(self, seed: int) -> np.ndarray:
        """X̃, `[N, D]`, mapped from the file."""
        here = self.path / "propagated.npy"
        path = here if here.exists() else self.path / f"seed-{seed}" / "propagated.npy"
        return load_array(path, mmap=True)

    def student(self, seed: int) -> MLP:
        if seed not in self.metrics["seeds"]:
            raise InputError(f"--seed {seed}: expected one of {self.metrics['seeds']}")
        return load_student(self.path / f"seed-{seed}" / "student.safetensors")


def load_array(path: Path, mmap: bool = False) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r" if mmap else None)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a readable .npy file ({reason})") from None


def save_weights(path: Path, model: nn.Module) -> None:
    """The state_dict; an MLP's shape rides along as JSON, so that its file is complete."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    metadata = {"mlp": json.dumps(model.shape)} if isinstance(model, MLP) else None
    with writing(path) as partial:
        save_file(tensors, partial, metadata=metadata)


def load_student(path: Path) -> MLP:
    """An MLP in eval mode from the one file that `train` wrote."""
    try:
        with safe_open(path, framework="pt") as file:
            shape = json.loads((file.metadata() or {})["mlp"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model = MLP(**shape)
        model.load_state_dict(weights)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a student written by train ({reason})") from None
    return model.eval()


@torch.inference_mode()
def predict(model: MLP, inputs: np.ndarray, batch: int = 1 << 16) -> Tensor:
    """float32 probabilities `[n, C]`: the MLP alone on propagated features `[n, D]`."""
    width = model.shape["in_features"]
    if inputs.ndim != 2 or inputs.shape[1] != width or inputs.dtype.kind != "f":
        found = f"{inputs.dtype} {list(inputs.shape)}"
        raise InputError(f"propagated: expected floating point [n, {width}], found {found}")
    parts = []
    for start in range(0, len(inputs), batch):
        x = torch.from_numpy(np.array(inputs[start : start + batch], dtype=np.float32))
        if not x.isfinite().all():
            row = start + int((~x.isfinite()).any(dim=1).nonzero()[0])
            raise InputError(f"propagated: expected finite numbers, found others in row {row}")
        parts.append(model(x).softmax(dim=1))
    return torch.cat(parts) if parts else torch.empty(0, model.shape["classes"])
