"""MATLAB's .mat: an adjacency, features, labels, and perhaps masks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ...errors import InputError
from ...graph.convert import WEIGHTS
from ...registry import Format, formats
from ..dataset import PARTS
from ..imported import Imported, Options, labels_of, parts_of_masks
from ..mat import read_mat
from ..weights import Listed, Wanted, chosen, of_columns, of_matrix, one_each, whole_ids

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
        listed, N = _listed(variables, rows, options.weights, path)
    else:
        listed, N = of_matrix(adjacency, options.weights, f"{path}: adjacency"), adjacency.shape[0]
    labels = _find(variables, LABELS)
    masks = {part: _find(variables, names) for part, names in MASKS.items()}
    masked = all(mask is not None for mask in masks.values())
    if features is not None and features.shape[0] != N == features.shape[1]:
        features = features.T  # MATLAB's own data often has a column a node
    return Imported(
        **listed._asdict(),
        num_nodes=N,
        features=features,
        labels=None if labels is None else labels_of(labels, N, f"{path}: labels", options.task),
        splits=_splits({p: masks[p] for p in PARTS}, N, path) if masked else (),
    )


def _find(variables: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((variables[name] for name in names if name in variables), None)


def _listed(
    variables: Mapping[str, Any], rows: Any, wanted: Wanted, path: Path
) -> tuple[Listed, int]:
    """Edges `[E, 2]` or `[2, E]`, which MATLAB counts from 1, and N; weights in a third column or
    a variable of their own.

    Args:
        rows: features, or labels, of the nodes.
    """
    stored = _find(variables, EDGES)
    if stored is None or rows is None:
        found = ", ".join(variables) or "none"
        expected = f"one of {', '.join(ADJACENCY)}, or edges beside features or labels"
        raise InputError(f"{path}: expected a variable {expected}; found {found}")
    array = np.asarray(stored)
    if array.ndim == 2 and (
        array.shape[0] == 2 != array.shape[1] or array.shape[0] == 3 < min(4, array.shape[1])
    ):
        array = array.T
    names = [n for n in variables if n in WEIGHTS or n == str(wanted).lower()]
    taken = chosen(names, wanted, str(path)) if names or isinstance(wanted, str) else None
    if taken is not None or (array.ndim == 2 and array.shape[1] == 2):
        array = whole_ids(array[:, :2], path)
    listed = of_columns(array, wanted, path)
    if taken is not None:
        listed = listed._replace(
            weights=one_each(variables[names[taken]], len(array), f"{path}: {names[taken]}")
        )
    pairs = listed.edges
    N = max(rows.shape) if 1 in rows.shape else rows.shape[0]  # labels may lie in a row
    first = 1 if len(pairs) and pairs.min() == 1 and pairs.max() == N else 0
    return listed._replace(edges=pairs - first), N


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
