"""A run's student, exported."""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from .. import __version__
from ..config.schema import Config
from ..errors import InputError
from ..nn.mlp import MLP
from ..registry import sources
from ..serving import load_classes, load_task
from ..serving.export import export, sampled_rows
from ..serving.formats import find
from ..serving.specification import NAME, DType, Inputs, Specification
from ..system.installed import require
from ..system.reading import reading
from ..system.writing import FolderKind, explained, new_folder
from .card import card
from .directory import CARD, RunDirectory

FILES = r"specification\.json|README\.md|model\.(onnx|pt2|safetensors)"


class Exported(NamedTuple):
    """How far the export's answers are from the student's, and about how many rows it was asked."""

    difference: float
    rows: int


def export_run(
    run: RunDirectory,
    seed: int,
    format: str,
    out: Path,
    *,
    dtype: DType = "float32",
    name: str | None = None,
    calibrated: bool = False,
    overwrite: bool = False,
) -> Exported:
    """One seed's student in a format of `serving.formats`, with its specification and its card.

    Args:
        out: a folder, which appears when all is written and the export says what the student says.
        name: of the model; by default its dataset's.
        calibrated: its probabilities are.

    Raises:
        InputError: the run is damaged, a package is missing, answers differ (`serving.export`), or
            `out` cannot be written.
    """
    chosen = find(format)
    require(chosen.packages, f"--format {format}", "serve")
    if name is not None and (not re.fullmatch(NAME, name) or re.fullmatch(FILES, name)):
        expected = "expected up to 100 letters, digits, '.', '_' and '-', the first of the former"
        raise InputError(f"--name: {expected}, no file's name of an export; found {name!r}")
    student = run.student(seed)
    temperature = run.temperature(seed) if calibrated else 1.0
    specification = specify(run, seed, student, dtype, name, temperature)
    rows = sampled_rows(run.propagated(seed))
    if rows.shape[1] != specification.inputs.width or not len(rows):
        path, width = run.array("propagated.npy", seed), specification.inputs.width
        raise InputError(f"{path}: expected [n, {width}], found {list(rows.shape)}")
    _check_model(out / specification.name, out)
    made = new_folder(out, overwrite, kind(specification.name))
    with explained(out, "--out"), made as folder:
        difference = export(format, student, specification, rows, folder)
        loading = chosen.loading(specification)
        text = card(run.config, run.metrics, loading, seed, specification)
        (folder / CARD).write_text(text)
    return Exported(difference, len(rows))


def kind(name: str) -> FolderKind:
    """An export of that name, as `--overwrite` knows it."""
    return FolderKind("export", "specification.json", f"{FILES}|{re.escape(name)}")


def _check_model(folder: Path, out: Path) -> None:
    """That what has the model's name in `out` is a model of Triton, which may be replaced."""
    found = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    foreign = [name for name in found if name not in ("1", "config.pbtxt", "labels.txt")]
    if foreign or folder.is_file():
        name = "/".join([folder.name, *foreign[:1]])
        raise InputError(f"--out {out}: --overwrite would delete {name}, no part of an export")


def specify(
    run: RunDirectory,
    seed: int,
    student: MLP,
    dtype: DType,
    name: str | None,
    temperature: float,
) -> Specification:
    file, inputs = run.weights(seed, "student"), run.array("propagated.npy", seed)
    classes, config = load_classes(file), run.config
    with reading(run.path / "metrics.json", "written by train"):
        dataset, features = str(run.metrics["dataset"]["name"]), run.metrics["dataset"]["features"]
        return Specification(
            name=name or re.sub(r"[^A-Za-z0-9._-]+", "-", dataset).strip("-._")[:100] or "student",
            made_by=f"infgrand-dgl {__version__}",
            dataset=dataset,
            method=config.method,
            seed=seed,
            task=load_task(file),
            outputs=student.shape["classes"],
            classes=None if classes is None else classes.tolist(),
            dtype=dtype,
            student=student.shape,
            temperature=temperature,
            inputs=inputs_of(config, student.shape["in_features"], features, _sha256(inputs)),
        )


def inputs_of(config: Config, width: int, features: int, sha256: str) -> Inputs:
    """What a student of the experiment reads."""
    p, data = config.propagation, config.data
    hops = p.hops if config.reads_propagated else 0
    beside = config.student.reads_hops
    return Inputs(
        width=width,
        features=features,
        positions=width - features * (hops + 1 if beside else 1),
        hops=hops,
        pooling="side by side" if beside else p.pooling,
        self_loop_weight=p.self_loop_weight,
        row_normalize=sources[data.name].row_normalized(data),
        standardize=data.standardize,
        sha256=sha256,
    )


def _sha256(path: Path) -> str:
    with reading(path, "a readable file"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
