"""What a format reads: arrays, and what is to be told of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from ..config.fields import Task
from ..errors import InputError
from ..features.convert import check_indices
from .dataset import PARTS
from .labels import MAX_COLUMNS, classes_of_rows, is_one_hot
from .masks import from_masks
from .weights import Wanted

Part = dict[str, np.ndarray]


@dataclass(frozen=True)
class Options:
    """What a user says of a source beside its path.

    Args:
        nodes: a node table, for an edge list: `--nodes`.
        features: a file of features: `--features`.
        id: name of the column of node ids: `--id`.
        label: of those of labels, each one name, or several with commas between: `--label`.
        task: what labels are: `--task`, `data.task`.
        trust: pickles may be opened, which run what they hold: `--trust`.
        weights: whether edges have weights, or the name of what holds them: `--weights [COLUMN]`,
            `--drop-weights`.
    """

    nodes: Path | None = None
    features: Path | None = None
    id: str | None = None
    label: tuple[str, ...] | None = None
    trust: bool = False
    task: Task | Literal["auto"] = "auto"
    weights: Wanted = None


@dataclass(frozen=True)
class Imported:
    """
    Args:
        edges: integers `[E, 2]`, each edge for both directions; ids from 0.
        num_nodes: N.
        features: numbers `[N, D]`, dense or SciPy sparse; None: there are none.
        labels: `[N]` or `[N, C]`, as `labels.read_labels` takes them; None: there are none.
        label_names: of the columns of labels that are no classes; None: they have none.
        splits: node ids by part, of each split.
        files: those that the folder takes over as they are, by their names there.
        notes: lines for the user.
        table: the file that has the splits, where it is not the source itself.
        ids: of the nodes in the source, integers or text `[N]`; None: they are 0 to N - 1.
        weights: of the edges, numbers `[E]`; None: there are none.
        directed: whether edges have a direction in this format, and one without its reverse is
            told; None: as they are listed (`directory.made_undirected`).
    """

    edges: np.ndarray
    num_nodes: int
    features: np.ndarray | sp.csr_matrix | None = None
    labels: np.ndarray | None = None
    label_names: tuple[str, ...] | None = None
    splits: tuple[Part, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    table: Path | None = None
    ids: np.ndarray | None = None
    weights: np.ndarray | None = None
    directed: bool | None = None


def csr_of_parts(arrays: Mapping[str, np.ndarray], prefix: str, where: str) -> sp.csr_matrix:
    """The matrix of `<prefix>data`, `indices`, `indptr` and `shape`, checked."""
    data, indices, indptr, shape = (
        arrays[prefix + part] for part in ("data", "indices", "indptr", "shape")
    )
    if shape.shape != (2,) or shape.dtype.kind not in "iu":
        raise InputError(f"{where}: {prefix}shape: expected two integers, found {shape.tolist()!r}")
    if data.dtype.kind not in "biuf":
        raise InputError(f"{where}: {prefix}data: expected numbers, found {data.dtype}")
    size = (int(shape[0]), int(shape[1]))
    if not all(0 < n < 2**31 for n in size):
        raise InputError(f"{where}: {prefix}shape: expected 1 to 2^31 - 1 each, found {list(size)}")
    matrix = sp.csr_matrix((data, indices, indptr), shape=size)
    check_indices(matrix)
    return matrix


def labels_of(
    labels: Any, num_nodes: int, where: str, task: Task | Literal["auto"] = "auto"
) -> np.ndarray:
    """`[N]` or `[N, C]`, as `labels.read_labels` takes them, of labels `[N]`, `[N, 1]`, `[1, N]`
    or `[N, C]`, dense or SciPy sparse.

    One-hot rows are classes, -1 of a row of zeros, unless `task` says what else they are.
    """
    if labels.ndim == 2 and 1 not in labels.shape and labels.shape[1] > MAX_COLUMNS:
        raise InputError(f"{where}: expected at most {MAX_COLUMNS} labels, found {labels.shape[1]}")
    if labels.ndim not in (1, 2) or num_nodes not in labels.shape:
        found = list(labels.shape)
        raise InputError(f"{where}: expected labels of {num_nodes} nodes, found shape {found}")
    if sp.issparse(labels):
        labels = (labels if 1 in labels.shape else labels.astype(np.float32)).toarray()
    if labels.ndim == 2 and 1 in labels.shape:
        labels = labels.ravel()
    if len(labels) != num_nodes:
        found = list(labels.shape)
        raise InputError(f"{where}: expected labels of {num_nodes} nodes, found shape {found}")
    if task in ("auto", "classification") and is_one_hot(labels, or_none=True):
        return classes_of_rows(labels)
    return labels


def classes_of(labels: np.ndarray, num_nodes: int, where: str) -> np.ndarray:
    """`[N]`: as `labels_of`, where there is one label a node."""
    found = labels_of(labels, num_nodes, where, "classification")
    if found.ndim > 1:
        raise InputError(f"{where}: expected one label a node, found several in some rows")
    return found


def parts_of_masks(masks: Mapping[str, np.ndarray], num_nodes: int, where: str) -> tuple[Part, ...]:
    """The splits of masks `[N]`, `[N, k]` or `[k, N]`, by part.

    Args:
        where: begins messages.
    """
    upright = {
        part: mask.T if mask.ndim == 2 and mask.shape[1] == num_nodes != mask.shape[0] else mask
        for part, mask in masks.items()
    }
    splits = from_masks(upright, num_nodes, f"{where}: ")
    return tuple({part: getattr(split, part).numpy() for part in PARTS} for split in splits)
