"""MATLAB's .mat: an adjacency, features, labels, and perhaps masks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ...errors import InputError
from ...registry import Format, formats
from ..dataset import PARTS
from ..imported import Imported, Options, classes_of, edges_of_matrix, parts_of_masks
from ..mat import read_mat

ADJACENCY = (
    "a",
    "adj",
    "adjacency",
    "adjacency_matrix",
    "adj_matrix",
    "network",
    "net",
    "graph",
    "w",
)
EDGES = ("edges", "edge_index", "edge_list")
FEATURES = ("x", "features", "feature", "feat", "fea", "attributes", "attribute", "attr", "attrb",
            "node_feat", "node_features", "local_info")  # fmt: skip
LABELS = ("y", "labels", "label", "group", "gnd", "class", "classes", "gt", "target")
MASKS = {"train": ("train_mask", "train"), "val": ("val_mask", "valid_mask", "val"),
         "test": ("test_mask", "test")}  # fmt: skip


def recognizes(path: Path) -> bool:
    return path.suffix.lower() == ".mat" and path.is_file()


def read(path: Path, options: Options) -> Imported:
    variables = {name.lower(): value for name, value in read_mat(path).items()}
    features = _find(variables, FEATURES)
    adjacency = _find(variables, ADJACENCY)
    if adjacency is None:
        rows = _find(variables, LABELS) if features is None else features
        edges, N = _listed(variables, rows, path)
    else:
        edges, N = edges_of_matrix(adjacency, options, f"{path}: adjacency"), adjacency.shape[0]
    labels = _find(variables, LABELS)
    masks = {part: _find(variables, names) for part, names in MASKS.items()}
    masked = all(mask is not None for mask in masks.values())
    if features is not None and features.shape[0] != N == features.shape[1]:
        features = features.T  # MATLAB's own data often has a column a node
    return Imported(
        edges=edges,
        num_nodes=N,
        features=features,
        labels=None if labels is None else classes_of(labels, N, f"{path}: labels"),
        splits=_splits({p: masks[p] for p in PARTS}, N, path) if masked else (),
    )


def _find(variables: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((variables[name] for name in names if name in variables), None)


def _listed(variables: Mapping[str, Any], rows: Any, path: Path) -> tuple[np.ndarray, int]:
    """Edges `[E, 2]` or `[2, E]`, which MATLAB counts from 1, and N.

    Args:
        rows: features, or labels, of the nodes.
    """
    listed = _find(variables, EDGES)
    if listed is None or rows is None:
        found = ", ".join(variables) or "none"
        expected = f"one of {', '.join(ADJACENCY)}, or edges beside features or labels"
        raise InputError(f"{path}: expected a variable {expected}; found {found}")
    pairs = np.asarray(listed)
    pairs = pairs.T if pairs.shape[0] == 2 != pairs.shape[1] else pairs
    if pairs.ndim != 2 or pairs.shape[1] != 2 or (pairs != np.floor(pairs)).any():
        raise InputError(f"{path}: edges: expected whole numbers [E, 2], found {list(pairs.shape)}")
    pairs = pairs.astype(np.int64)
    N = max(rows.shape) if 1 in rows.shape else rows.shape[0]  # labels may lie in a row
    first = 1 if len(pairs) and pairs.min() == 1 and pairs.max() == N else 0
    return pairs - first, N


def _splits(masks: dict[str, Any], num_nodes: int, path: Path) -> tuple[dict[str, np.ndarray], ...]:
    dense = {p: m.toarray() if sp.issparse(m) else np.asarray(m) for p, m in masks.items()}
    flat = {p: m.ravel() if 1 in m.shape else m for p, m in dense.items()}
    return parts_of_masks(flat, num_nodes, str(path))


formats.add(
    Format(
        "matlab",
        label="MATLAB",
        place=31,
        about=".mat with an adjacency (A, network, ...), features (X, ...), labels (Y, ...)",
        recognizes=recognizes,
        read=read,
    )
)
