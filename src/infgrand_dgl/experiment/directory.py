"""The run directory: what a training writes, and how it is read back.

    README.md                 the model card
    config.yaml               the resolved experiment
    metrics.json              metrics of the models and seconds; its presence says the run is whole
    history.csv               losses and the validation metric of every epoch
    stages.json               what each finished stage was made of
    ids.npy                   the nodes' ids where the data came from, where they are not rows
    influence.npy             I_g, float32 [N]      } in seed-<S>/ when inductive
    propagated.npy            X~, float32 [N, D]    } or all hops side by side, [N, (P + 1) D]
    seed-<S>/teacher.safetensors, student.safetensors, teacher_logits.npy,
             and mlp.safetensors where the plain MLP was trained, teacher_hidden.npy [N, H] and
             teacher_perturbed.npy [N, C] where a method needs them
    graph/                    the graph as updates have left it, and what the next one starts from
                              (`graph_state`); updates.jsonl has a line for each
    figures/*.png
    tensorboard/              the scalars of history.csv, with train.tensorboard

A run is made in `<out>.partial`, beside checkpoint.pt of the model in training, and renamed when it
is whole. What a failed or killed process leaves there is what `--resume` goes on with.
"""

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..config.reading import flat, load_config
from ..config.schema import Config
from ..data.node_ids import FILE as IDS
from ..errors import InputError
from ..nn.mlp import MLP
from ..serving import load_student
from ..system.arrays import load_array
from ..system.ranks import Ranks
from ..system.reading import reading
from ..system.redo import alone, is_pending, redo
from ..system.writing import (
    FolderKind,
    check_folder,
    explained,
    parents,
    put_folder,
    umask,
    writing,
)
from ..training.metrics import Metric, recorded
from .artifacts import Stages

log = logging.getLogger(__name__)

RUN = FolderKind(
    "run",
    "metrics.json",
    r"(README\.md|config\.yaml|metrics\.json|history\.csv|stages\.json|report\.html|\w+\.npy"
    r"|updates\.jsonl|seed-\d+|figures|tensorboard|graph(\.partial)?)",
)
CARD, CARD_STARTS = "README.md", b"---\nlibrary_name: infgrand-dgl\n"
LOCK, CHECKPOINT, SCRATCH = ".lock", "checkpoint.pt", "scratch"
GRAPH, UPDATES = "graph", "updates.jsonl"
# Settings that change nothing of what comes out, but for rounding.
WHERE = ("train.device", "train.tensorboard", "train.checkpoint_every", "train.compile")


@contextmanager
def new_run(
    out: Path, overwrite: bool = False, *, resume: bool = False, fresh: bool = False
) -> Iterator["RunDirectory"]:
    """A run directory to fill; it appears as `out` when the block ends well.

    It is `<out>.partial` until then. Where the block fails after some stage is finished or a
    checkpoint written, it stays, and a note on the exception says how to go on.

    Args:
        overwrite: replace the run that is there; its finished stages are taken over.
        resume: go on with `<out>.partial`, if it is there.
        fresh: begin with nothing, whatever is there.

    Raises:
        InputError: `out` holds something and `overwrite` is not given (or what it holds is more
            than a run), an unfinished run is there and neither `resume` nor `fresh` is given,
            another process is at it, or it cannot be written. Where something has come to `out` in
            the meantime, the new run stays beside it, and the message says where.
    """
    with explained(out, "--out"):
        target = out.resolve()
        replaces = check_folder(out, target, overwrite, RUN)
        if replaces:
            _check_card(target / CARD, out)
    partial = partial_of(out)
    with parents(target, out):
        with explained(out, "--out"):
            found = partial.is_dir() and any(partial.iterdir())
            partial.mkdir(exist_ok=True)
            lock = locked(partial, out)
        unasked = found and not (resume or fresh)
        try:
            if found and fresh:
                _clear(partial)
            elif unasked:
                raise InputError(
                    f"--out {out}: an unfinished run is in {partial.name}; "
                    "--resume goes on with it, --fresh begins anew"
                )
            elif replaces and not found and not fresh:
                with explained(out, "--out"), alone(target, f"--out {out}"):
                    redo(target, target / GRAPH)  # what an update had yet to do
                    _take_over(target, partial)
            yield RunDirectory(partial)
            shutil.rmtree(partial / SCRATCH, ignore_errors=True)
            (partial / CHECKPOINT).unlink(missing_ok=True)
            for path in partial.rglob(".*"):  # what a kill left half-written
                if path.name != LOCK:
                    path.unlink()
            partial.chmod(0o777 & ~umask())
        except BaseException as error:
            if not ((partial / CHECKPOINT).exists() or (partial / "stages.json").exists()):
                shutil.rmtree(partial, ignore_errors=True)
            elif not unasked:  # that has said it
                error.add_note(f"to go on: infgrand-dgl train --resume --out {out}")
            raise
        finally:
            os.close(lock)
        (partial / LOCK).unlink()
        put_folder(partial, target, out, replaces, RUN)


@contextmanager
def shared_run(
    ranks: Ranks, out: Path, overwrite: bool, resume: bool, fresh: bool
) -> Iterator["RunDirectory"]:
    """`new_run`, made by the first process for all."""
    if ranks.first:
        with new_run(out, overwrite, resume=resume, fresh=fresh) as run:
            run.scratch.mkdir(exist_ok=True)
            ranks.tell(run.path)
            yield run
    else:
        yield RunDirectory(ranks.tell(out))


def is_complete(out: Path) -> bool:
    """Whether there is a run, and none on its way."""
    return (out / "metrics.json").is_file() and not partial_of(out).exists()


def check_settings(out: Path, config: Config) -> None:
    """
    Raises:
        InputError: a complete run is of other settings than these, but for where it runs.
    """
    held = flat(load_config(out / "config.yaml"))
    for key, now in flat(config).items():
        elsewhere = key.startswith("resources.") or key in WHERE
        was = held.get(key)
        if was != now and not elsewhere and (key, now) != ("train.metric", None):
            raise InputError(
                f"--resume: {out} is whole, with other settings ({key}: {was}, now {now}); "
                "--overwrite makes it anew, and reuses what is the same"
            )


def is_damaged(out: Path) -> bool:
    """Whether the metrics of a complete run cannot be read; then there is a warning."""
    try:
        RunDirectory(out).metrics["seeds"]
        return False
    except (InputError, TypeError, KeyError) as error:
        log.warning("%s; made anew", error if isinstance(error, InputError) else f"{out}: no seeds")
        return True


def finish_update(run: "RunDirectory") -> None:
    """Does what an update that was decided on has yet to do.

    Raises:
        InputError: it cannot be done now.
    """
    try:
        redo(run.path, run.graph)
    except OSError as error:
        raise InputError(
            f"--run {run.path}: an update was decided on, and could not be ended "
            f"({error.strerror}); what opens the run next does it"
        ) from None


def partial_of(out: Path) -> Path:
    """Where a run is made before it is whole."""
    target = out.resolve()
    return target.with_name(f"{target.name}.partial")


def locked(partial: Path, out: Path) -> int:
    """Held until the descriptor is closed or the process ends, however it ends."""
    lock = os.open(partial / LOCK, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise InputError(f"--out {out}: another process is writing it") from None
    return lock


def _check_card(path: Path, out: Path) -> None:
    """Runs had no card before, and somebody may have written about one."""
    if path.exists() and not path.read_bytes().startswith(CARD_STARTS):
        raise InputError(f"--out {out}: --overwrite would delete {CARD}, no model card of a run")


def _clear(partial: Path) -> None:
    for path in partial.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _take_over(run: Path, partial: Path) -> None:
    """The files of a run's finished stages, as links where the file system has them."""
    stages = Stages(run)
    for name in stages.files():
        if (run / name).is_file():
            (partial / name).parent.mkdir(exist_ok=True)
            try:
                os.link(run / name, partial / name)
            except OSError:
                shutil.copyfile(run / name, partial / name)
    if stages.stages:
        shutil.copyfile(run / "stages.json", partial / "stages.json")
        if (run / "history.csv").is_file():
            shutil.copyfile(run / "history.csv", partial / "history.csv")


class RunDirectory:
    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: Path) -> "RunDirectory":
        """The run of a folder; of an update that was decided on, and whose process ended, what it
        had yet to do is done.

        Raises:
            InputError: there is none, or an update cannot be ended.
        """
        if not (path / "metrics.json").is_file() or not (path / "config.yaml").is_file():
            raise InputError(f"--run {path}: expected a run directory (config.yaml, metrics.json)")
        run = cls(path)
        if is_pending(run.graph):
            with explained(path, "--run"), alone(path, f"--run {path}", wait=True):
                finish_update(run)
        return run

    @property
    def graph(self) -> Path:
        """Where the graph is as updates have left it, if there was one."""
        return self.path / GRAPH

    @cached_property
    def config(self) -> Config:
        return load_config(self.path / "config.yaml")

    @cached_property
    def metric(self) -> Metric:
        """By which its epochs were chosen."""
        with reading(self.path / "metrics.json", "written by train"):
            return recorded(self.metrics)

    @cached_property
    def val(self) -> dict[int, float]:
        """The validation metric of each seed's student, by metrics.json."""
        with reading(self.path / "metrics.json", "written by train"):
            student = self.metrics["student"]
            per_seed = self.metric.of_model(student)["val"]["per_seed"]
            return dict(zip(self.metrics["seeds"], map(float, per_seed), strict=True))

    @staticmethod
    def key(seed: int, name: str) -> str:
        """A file of one seed, relative to the run."""
        return f"seed-{seed}/{name}"

    def of_seed(self, seed: int, name: str) -> Path:
        return self.path / self.key(seed, name)

    def weights(self, seed: int, model: str) -> Path:
        return self.of_seed(seed, f"{model}.safetensors")

    def teacher_logits(self, seed: int) -> Path:
        return self.of_seed(seed, "teacher_logits.npy")

    @property
    def scratch(self) -> Path:
        """For what does not fit in memory while the run is made."""
        return self.path / SCRATCH

    @cached_property
    def metrics(self) -> dict[str, Any]:
        path = self.path / "metrics.json"
        with reading(path, "written by train"):
            return json.loads(path.read_text())

    def write_text(self, name: str, text: str) -> None:
        with writing(self.path / name) as partial:
            partial.write_text(text)

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        self.write_text("metrics.json", json.dumps(metrics, indent=2) + "\n")

    # Reading

    def best_seed(self) -> int:
        """The seed whose student did best on the validation nodes; the first of equals."""
        return max(self.val, key=lambda seed: self.metric.sign * self.val[seed])

    def temperature(self, seed: int) -> float:
        """By which the probabilities of a seed's student are calibrated, from metrics.json.

        Raises:
            InputError: it has none: a regression, or a run of an older version.
        """
        with reading(self.path / "metrics.json", "written by train"):
            found = self.metrics["student"].get("temperature")
            if found is None:
                raise InputError(
                    f"--calibrated: the run {self.path} has no temperature: it is a regression, or "
                    "was trained before there was one (train --overwrite --fresh)"
                )
            return float(found["per_seed"][self.metrics["seeds"].index(seed)])

    def propagated(self, seed: int) -> np.ndarray:
        """What the student reads, X̃ or X, `[N, D]`, mapped from the file.

        Raises:
            InputError: there is no such file, or something else is in it.
        """
        path = self.array("propagated.npy", seed)
        inputs = load_array(path, mmap=True)
        if inputs.ndim != 2 or inputs.dtype.kind != "f":
            found = f"{inputs.dtype} {list(inputs.shape)}"
            raise InputError(f"{path}: expected floating point [N, D], found {found}")
        return inputs

    @property
    def ids(self) -> np.ndarray | None:
        """Of the dataset's nodes where it came from, integers or text `[N]`, mapped from the file;
        None: their rows. Nodes that updates add have none."""
        path = self.path / IDS
        return load_array(path, mmap=True) if path.exists() else None

    def array(self, name: str, seed: int) -> Path:
        """Where an array is, which may be of all seeds or of one."""
        here = self.path / name
        return here if here.exists() else self.of_seed(seed, name)

    def student(self, seed: int) -> MLP:
        if seed not in self.val:
            raise InputError(f"--seed {seed}: expected one of {list(self.val)}")
        return load_student(self.weights(seed, "student"))
