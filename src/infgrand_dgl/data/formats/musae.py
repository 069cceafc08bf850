"""MUSAE's folders (Rozemberczki et al., 2021), also of LastFM and Deezer: edges, targets, JSON."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ...errors import InputError
from ...registry import Format, formats
from ...system.reading import reading
from ..edge_lists import positions, read_edges
from ..imported import Imported, Options
from ..labels import NUMBERS
from ..node_tables import COLUMNS, read_nodes
from ..tables import read_table

FILES = ("edges.csv", "target.csv")
FEATURES = "features.json"
NUMBER = "new_id"  # of a node in Twitch's edges and features; its `id` is the site's
MAX_COLUMNS = 1 << 20


def recognizes(path: Path) -> bool:
    return path.is_dir() and all(any(path.glob(f"*_{name}")) for name in FILES)


def read(path: Path, options: Options) -> Imported:
    edge_file, target_file = (_only(path, name) for name in FILES)
    table = read_table(target_file, COLUMNS)
    if options.id is None and NUMBER in table.frame:
        options = replace(options, id=NUMBER)
    nodes = read_nodes(table, options, features=False)
    if nodes.ids is None or nodes.ids.dtype.kind != "i":
        raise InputError(f"{target_file}: expected a column of node ids, found none")
    if nodes.labels is None:
        raise InputError(f"{target_file}: expected a column of classes; --label names it")
    codes = nodes.labels.dtype.kind == "i" and options.task == "auto"
    if codes and nodes.labels.max(initial=0) >= 10 * len(nodes.ids):
        raise InputError(
            f"{target_file}: expected classes, found numbers up to {nodes.labels.max()}; "
            f"{NUMBERS}, data.task: classification takes them as codes"
        )
    order = np.argsort(nodes.ids, kind="stable")
    ids = nodes.ids[order]
    edges = read_edges(edge_file, options)
    return Imported(
        edges=positions(edges, ids, target_file.name),
        weights=edges.weights,
        directed=False,
        num_nodes=len(ids),
        features=_features(_only(path, FEATURES), ids) if any(path.glob(f"*_{FEATURES}")) else None,
        labels=nodes.labels[order],
        label_names=nodes.label_names,
        ids=None if np.array_equal(ids, np.arange(len(ids))) else ids,
    )


def _only(folder: Path, ending: str) -> Path:
    files = sorted(folder.glob(f"*_{ending}"))
    if len(files) > 1:
        found = " and ".join(file.name for file in files)
        raise InputError(f"{folder}: expected one graph, found {found}")
    return files[0]


def _features(path: Path, ids: np.ndarray) -> sp.csr_matrix:
    """Of {"id": [columns that are 1]}."""
    with reading(path, "valid JSON"):
        content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object of lists by node id")
    rows, columns = [], []
    for row, node in enumerate(ids.tolist()):
        listed = content.get(str(node))
        whole = isinstance(listed, list) and all(type(c) is int for c in listed)
        if listed is None or not whole or not all(0 <= c < MAX_COLUMNS for c in listed):
            found = "none" if listed is None else str(listed)[:40]
            expected = f"expected a list of columns below {MAX_COLUMNS}"
            raise InputError(f"{path}: node {node}: {expected}, found {found}")
        rows += [row] * len(listed)
        columns += listed
    if not columns:
        raise InputError(f"{path}: expected features of some node, found none")
    ones = np.ones(len(rows), np.float32)
    matrix = sp.csr_matrix((ones, (rows, columns)), (len(ids), max(columns) + 1))
    matrix.data[:] = 1
    return matrix


formats.add(
    Format(
        "musae",
        label="MUSAE",
        place=21,
        about="folder with *_edges.csv, *_target.csv, *_features.json",
        recognizes=recognizes,
        read=read,
    )
)
