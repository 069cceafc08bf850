"""Graphs as people have them, read into the folder that `directory` loads."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
import yaml

from ..config.fields import Task
from ..config.schema import DataConfig
from ..errors import InputError
from ..registry import Format, formats
from ..system.reading import reading
from ..system.writing import FolderKind, new_folder, writing
from . import directory
from .dataset import PARTS, NodeDataset, Split, check, check_labels, check_split
from .drawing import Draw, usual_split
from .feature_files import check_features
from .imported import Imported, Options
from .label_names import write_names
from .labels import NUMBERS, task_of
from .node_ids import FILE as IDS
from .structural import structural_features
from .tabular import EDGES, FEATURES, LABELS, NODES, WEIGHTS
from .weights import one_each

log = logging.getLogger(__name__)

FOLDER = FolderKind(
    "graph folder",
    "edges.npy",
    r"(edges|weights|labels|ids)\.npy|features\.np[yz]|(label_names|splits)\.json|experiment\.yaml",
)
MANY, FEW = 20, 5  # more classes than MANY, of less than FEW nodes each, may be numbers
# Files that `directory` does not read, or not in every form that they come in.
OWN = {"edges.npy", "weights.npy", "features.npy", "labels.npy"}
FOREIGN = {*EDGES, *WEIGHTS, *NODES, *FEATURES, *LABELS} - OWN


def recognized(path: Path) -> Format | None:
    """The format that a path has; None: it is none of them."""
    return next((each for each in formats.in_order() if each.recognizes(path)), None)


def read(source: Path, options: Options, argument: str = "SOURCE") -> tuple[Format, Imported]:
    """
    Args:
        argument: names the source in messages.

    Raises:
        InputError: no such path, no format that knows it, or one that fails to read it.
    """
    if not source.exists():
        raise InputError(f"{argument}: no such file or folder: {source}")
    form = recognized(source)
    if form is None:
        known = ", ".join(each.name for each in formats.in_order())
        raise InputError(f"{source}: expected a graph in one of the formats {known}; found none")
    with reading(source, f"readable in the format {form.name}"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that overflow, and are refused below
        imported = _checked(form.read(source, options), source)
    if options.weights and imported.weights is None:
        wanted = "data.weights: true" if argument == "data.root" else "--weights"
        raise InputError(f"{source}: expected edge weights ({wanted}), found none")
    return form, imported


def _checked(imported: Imported, source: Path) -> Imported:
    edges, N = imported.edges, imported.num_nodes
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu":
        found = f"{edges.dtype} {list(edges.shape)}"
        raise InputError(f"{source}: expected integers [E, 2] as edges, found {found}")
    wrong = ((edges < 0) | (edges >= N)).any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{source}: expected node ids 0 to {N - 1}, found edge {edges[row, 0]}, "
            f"{edges[row, 1]} in row {row}"
        )
    if imported.weights is not None:
        one_each(imported.weights, len(edges), f"{source}: weights")
    if imported.features is not None:
        check_features(imported.features, f"{source}: features")
        if imported.features.shape[0] != N:
            found = imported.features.shape[0]
            raise InputError(f"{source}: expected features of {N} nodes, found {found}")
    return imported


def import_graph(
    source: Path,
    out: Path,
    options: Options,
    draw: Draw | None = None,
    overwrite: bool = False,
    tell: Callable[[str], object] = log.warning,
) -> NodeDataset:
    """Writes a graph in any format to the folder `out`, which appears when it is whole, with
    `experiment.yaml` beside it, for `train --config`.

    Args:
        draw: splits that are drawn instead of those of the source.
        tell: gets lines for the user.

    Raises:
        InputError: as of `read`; what `directory` cannot load of it; or `out` holds something.
    """
    form, imported = read(source, options)
    with new_folder(out, overwrite, FOLDER) as folder:
        try:
            imported = _with_splits(imported, draw, options, source)
            structural: Literal["structural"] | None = None
            if imported.features is None:
                structural = "structural"
            config = DataConfig(
                name="directory", root=str(source), features=structural, task=options.task
            )
            dataset = _dataset(imported, config, source)
            if structural:
                dataset = dataset.with_features_of(structural_features)
            check(dataset, str(source))
            _check_splits(dataset, imported, source)
            if dataset.task != "classification":
                imported = replace(imported, labels=dataset.labels.numpy())
            write(imported, folder)
            data = {"name": "directory", "root": str(out.absolute())}
            if imported.labels is not None and task_of(imported.labels) != dataset.task:
                data["task"] = dataset.task
            if structural:
                data["features"] = structural
            if dataset.splits:
                data["split"] = "seed"
            (folder / "experiment.yaml").write_text(yaml.safe_dump({"data": data}))
        except OSError as error:
            raise InputError(f"--out {out}: cannot be written ({error.strerror})") from None
    if dataset.lacks:
        tell(dataset.lacks)
    if structural:
        tell("no features: experiment.yaml has data.features: structural, made of the graph")
    told = (*_of_labels(dataset), *_of_edges(dataset, source, found=True))
    for note in (*imported.notes, *told):
        tell(note)
    provenance = {**dataset.provenance, "source": form.name, "files": str(source)}
    return replace(dataset, name=out.name, provenance=provenance)


def _check_splits(dataset: NodeDataset, imported: Imported, source: Path) -> None:
    where = imported.files.get("splits.json") or imported.table or source
    given = dataset.splits if dataset.split is None else (dataset.split,)
    for k, split in enumerate(given):
        told = f"{where}: split {k}" if len(given) > 1 else str(where)
        check_split(split, dataset.num_nodes, told)
        check_labels(split, dataset.labels, told, imported.ids)


def load(config: DataConfig, root: Path) -> NodeDataset:
    """`data.root` of `directory`: its own folder, or a path in any of the formats."""
    if not root.exists() or _is_own(root) or recognized(root) is None:
        dataset = directory.load(config, root)
        for note in _of_edges(dataset, root):
            log.warning(note)
        return dataset
    options = Options(task=config.task, weights=config.weights)
    form, imported = read(root, options, "data.root")
    with_splits = _with_splits(imported, None, options, root)
    dataset = _dataset(with_splits, config, root)
    told = (*_of_labels(dataset), *_of_edges(dataset, root, found=form.name != "folder"))
    for note in (*imported.notes, *told):
        log.warning(note)
    provenance = {**dataset.provenance, "source": form.name, "files": str(root)}
    if with_splits is not imported:
        provenance["split"] = "drawn"
    return replace(dataset, name=root.name, provenance=provenance)


def _of_labels(dataset: NodeDataset) -> list[str]:
    """Lines on what labels may not have been meant to say."""
    codes = dataset.task == "classification" and not isinstance((dataset.classes or (0,))[0], str)
    if codes and (C := dataset.num_classes) > max(MANY, int(dataset.labelled.sum()) // FEW):
        return [f"labels: {C:,} classes, of less than {FEW} nodes each on average; {NUMBERS}"]
    if dataset.task != "multilabel" or not len(dataset.labels) or dataset.num_classes == 1:
        return []
    ones = (dataset.labels == 1).sum(dim=1)
    without = int(((ones == 0) & dataset.labelled).sum())
    told = []
    if without:
        of = f"{without:,} nodes have none of the {dataset.num_classes} labels"
        told.append(f"{of}, which counts as known: NaN is unknown")
    if ones.max() == 1:
        told.append("no node has more than one label; data.task: classification makes classes")
    return told


def _of_edges(dataset: NodeDataset, source: Path, found: bool = False) -> list[str]:
    """What a user is told of edges: that they were made undirected, or that weights were `found`
    where nobody has put them for us."""
    told = []
    if found and dataset.csr.weights is not None:
        ways = "--drop-weights (data.weights: false) leaves them out"
        told.append(f"{source}: edges have weights; {ways}")
    if changed := dataset.provenance.get("edges"):
        told.append(f"{source}: edges: {changed}")
    return told


def split_folder(
    root: Path, draw: Draw, overwrite: bool = False, task: Task | Literal["auto"] = "auto"
) -> Path:
    """Draws splits of a folder of one's own, and writes its `splits.json`.

    Returns:
        The file.

    Raises:
        InputError: a folder of another kind, one with splits unless `overwrite`, or what `load`
            and `Draw.of` raise.
    """
    form = recognized(root) if root.is_dir() and not _is_own(root) else None
    if not root.exists() or (form is None and not _is_own(root)):
        raise InputError(f"DIR: expected a folder with edges and labels, found none: {root}")
    if form is not None and form.name != "folder":
        hint = "data import takes the same options"
        raise InputError(f"{root}: expected a folder of one's own, found {form.name}; {hint}")
    path = root / "splits.json"
    if path.exists() and not overwrite:
        raise InputError(f"{path}: is there already; --overwrite replaces it")
    unread: dict[str, Any] = {"features": "structural", "weights": False}  # they are not needed
    dataset = load(DataConfig(name="directory", root=str(root), task=task, **unread), root)
    labels = dataset.labels.numpy()
    if dataset.task == "classification":
        labels = np.array([*dataset.class_names, ""])[labels]
    with writing(path, "splits") as partial:
        write_splits(draw.of(labels, dataset.task, f"{root}: labels"), partial)
    return path


def _is_own(root: Path) -> bool:
    """Whether `directory` reads the folder itself."""
    graph = (root / "edges.npy").exists() or (root / "graph.bin").exists()
    return graph and not any((root / name).exists() for name in FOREIGN)


def _dataset(imported: Imported, config: DataConfig, source: Path) -> NodeDataset:
    """What `directory` makes of the arrays."""
    if imported.features is None and config.features != "structural":
        raise InputError(f"{source}: expected features, found none; {directory.NO_FEATURES}")
    N, labels, splits = imported.num_nodes, imported.labels, imported.files.get("splits.json")
    stored = directory.Stored(
        (imported.edges, str(source)),
        N if imported.features is None else (imported.features, f"{source}: features"),
        f"{source}: it has no labels: training needs them"
        if labels is None
        else (labels, f"{source}: labels"),
        _splits(imported) or f"{source}: it has no splits: training needs them"
        if splits is None
        else directory.read_splits(splits, N),
        imported.label_names,
        weights=imported.weights,
        directed=imported.directed,
        ids=imported.ids,
    )
    return directory.dataset_of(stored, config, source)


def _splits(imported: Imported) -> tuple[Split, ...]:
    ids = ([torch.from_numpy(split[part]).long() for part in PARTS] for split in imported.splits)
    return tuple(Split(*parts) for parts in ids)


def _with_splits(imported: Imported, draw: Draw | None, options: Options, source: Path) -> Imported:
    """With those that are drawn, or the usual one where there is none."""
    if imported.labels is None or (draw is None and (imported.splits or imported.files)):
        return imported
    where = f"{source}: labels"
    if draw is not None:
        splits = draw.of(imported.labels, options.task, where)
        return replace(imported, splits=splits, files={}, table=None)
    splits, told = usual_split(imported.labels, options.task, where)
    return replace(imported, splits=splits, notes=(*imported.notes, told))


def write(imported: Imported, folder: Path) -> None:
    """The folder that `directory` loads."""
    np.save(folder / "edges.npy", imported.edges.astype(np.int64))
    if imported.weights is not None:
        np.save(folder / "weights.npy", imported.weights)
    if sp.issparse(imported.features):
        sp.save_npz(folder / "features.npz", imported.features)
    elif imported.features is not None:
        np.save(folder / "features.npy", imported.features)
    if imported.labels is not None:
        np.save(folder / "labels.npy", imported.labels)
    if imported.label_names is not None:
        write_names(imported.label_names, folder)
    if imported.ids is not None:
        np.save(folder / IDS, imported.ids)
    elif imported.features is None and imported.labels is None:  # else nothing says how many
        np.save(folder / IDS, np.arange(imported.num_nodes))
    for name, path in imported.files.items():
        shutil.copyfile(path, folder / name)
    if imported.splits:
        write_splits(imported.splits, folder / "splits.json")


def write_splits(splits: tuple[dict[str, np.ndarray], ...], path: Path) -> None:
    """One split as an object of ids by part, several as a list of those."""
    content = [{part: ids.tolist() for part, ids in split.items()} for split in splits]
    path.write_text(json.dumps(content[0] if len(content) == 1 else content))
