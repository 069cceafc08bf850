"""The run directory: what a training writes, and how it is read back.

    config.yaml               the resolved experiment
    metrics.json              accuracies, macro-F1 and seconds; its presence says the run is whole
    history.csv               losses and accuracies of every epoch
    influence.npy             I_g, float32 [N]      } in seed-<S>/ when inductive
    propagated.npy            X~, float32 [N, D]    }
    seed-<S>/teacher.safetensors, student.safetensors, teacher_logits.npy,
             and mlp.safetensors where the plain MLP was trained
    figures/*.png

A run is written under a temporary name and renamed when it is whole.
"""

import csv
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .config import Config, load_config
from .errors import InputError
from .files import load_array, reading
from .nn.mlp import MLP


class FolderKind(NamedTuple):
    """What `--overwrite` may replace: a folder with `marker`, all in it matching `contents`."""

    noun: str
    marker: str
    contents: str


RUN = FolderKind(
    "run",
    "metrics.json",
    r"(config\.yaml|metrics\.json|history\.csv|\w+\.npy|seed-\d+|figures)",
)
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
    """A temporary path beside `path` that takes its place when the block ends well.

    Raises:
        InputError: `path` is a folder or a device, or cannot be written (a full disk, too).
    """
    with _explained(path, argument):
        target = path.resolve()  # a link keeps pointing where it did
        if target.exists() and not target.is_file():
            raise InputError(f"{argument} {path}: expected the name of a file, found another kind")
        with _parents(target, path, argument):
            handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)
            os.close(handle)
            partial = Path(name)
            try:
                yield partial
                partial.chmod(0o666 & ~_umask())
                partial.replace(target)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise


@contextmanager
def _explained(path: Path, argument: str) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{argument} {path}: cannot be written ({reason})") from None


@contextmanager
def _parents(target: Path, path: Path, argument: str = "--out") -> Iterator[None]:
    """Makes the folders above `target`; those that it made go again if the block fails."""
    with _explained(path, argument):
        missing = [folder for folder in target.parents if not folder.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in missing:
            with suppress(OSError):  # not empty
                folder.rmdir()
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


class _Probe(Exception):  # noqa: N818
    """Ends a `writing` that only asks whether it could."""


def check_writable(path: Path, argument: str = "--out") -> None:
    """Fails before hours of work rather than after them."""
    with suppress(_Probe), writing(path, argument):
        raise _Probe


def save_array(path: Path, array: Tensor | np.ndarray) -> None:
    values = array.detach().cpu().numpy() if isinstance(array, Tensor) else array
    with writing(path) as partial, partial.open("wb") as file:
        np.save(file, values)


@contextmanager
def new_run(out: Path, overwrite: bool) -> Iterator["RunDirectory"]:
    """A run directory to fill, as `new_folder`."""
    with new_folder(out, overwrite, RUN) as folder:
        yield RunDirectory(folder)


@contextmanager
def new_folder(out: Path, overwrite: bool, kind: FolderKind) -> Iterator[Path]:
    """A folder to fill; it appears as `out` when the block ends well, or not at all.

    Raises:
        InputError: `out` holds something and `overwrite` is not given (or what it holds is more
            than such a folder), or cannot be written. Where something has come to `out` in the
            meantime, the new folder stays beside it, and the message says where.
    """
    with _explained(out, "--out"):
        target = out.resolve()
        replaces = _check_target(out, target, overwrite, kind)
    with _parents(target, out):
        with _explained(out, "--out"):
            partial = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", dir=target.parent))
        try:
            yield partial
            partial.chmod(0o777 & ~_umask())
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        # From here on it is whole, and is not removed whatever happens.
        try:
            if replaces and target.exists():
                previous = Path(tempfile.mkdtemp(prefix=".previous.", dir=target.parent))
                target.replace(previous)
                partial.replace(target)
                shutil.rmtree(previous)
            else:
                partial.replace(target)  # fails where something has appeared
        except OSError as error:
            raise InputError(
                f"--out {out}: cannot be put there ({error.strerror}); the {kind.noun} is whole, "
                f"and stays in {partial}"
            ) from None


def _check_target(out: Path, target: Path, overwrite: bool, kind: FolderKind) -> bool:
    """Whether such a folder is there to be replaced."""
    if not target.exists():
        return False
    if not target.is_dir():
        raise InputError(f"--out {out}: expected a folder, found a file")
    if target.is_mount():
        raise InputError(f"--out {out}: is a mount point; name a folder inside it")
    found = [path.name for path in target.iterdir()]
    if not found:
        return False
    if not overwrite:
        raise InputError(f"--out {out}: exists and is not empty; --overwrite replaces it")
    if kind.marker not in found:
        raise InputError(f"--out {out}: --overwrite replaces a {kind.noun}, and this is none")
    strange = [name for name in found if not re.fullmatch(kind.contents, name)]
    if strange:
        raise InputError(
            f"--out {out}: --overwrite would delete {strange[0]}, no part of a {kind.noun}"
        )
    return True


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
    def val_accuracy(self) -> dict[int, float]:
        """Of each seed's student, by metrics.json."""
        path = self.path / "metrics.json"
        with reading(path, "written by train"):
            metrics = json.loads(path.read_text())
            per_seed = metrics["student"]["val"]["per_seed"]
            return dict(zip(metrics["seeds"], map(float, per_seed), strict=True))

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
        return max(self.val_accuracy, key=self.val_accuracy.__getitem__)

    def propagated(self, seed: int) -> np.ndarray:
        """X̃, `[N, D]`, mapped from the file."""
        here = self.path / "propagated.npy"
        path = here if here.exists() else self.path / f"seed-{seed}" / "propagated.npy"
        return load_array(path, mmap=True)

    def student(self, seed: int) -> MLP:
        if seed not in self.val_accuracy:
            raise InputError(f"--seed {seed}: expected one of {list(self.val_accuracy)}")
        return load_student(self.path / f"seed-{seed}" / "student.safetensors")


def save_weights(path: Path, model: nn.Module) -> None:
    """The state_dict; an MLP's shape rides along as JSON, so that its file is complete."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    metadata = {"mlp": json.dumps(model.shape)} if isinstance(model, MLP) else None
    with writing(path) as partial:
        save_file(tensors, partial, metadata=metadata)


def load_student(path: Path) -> MLP:
    """An MLP in eval mode from the one file that `train` wrote."""
    with reading(path, "a student written by train"):
        with safe_open(path, framework="pt") as file:
            shape = json.loads((file.metadata() or {})["mlp"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model = MLP(**shape)
        model.load_state_dict(weights)
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
