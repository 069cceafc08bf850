"""Geom-GCN's folders (Pei et al., 2020): Texas, Wisconsin, Cornell, Chameleon, Squirrel, film."""

import re
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ...errors import InputError
from ...registry import Format, formats
from ...system.reading import reading
from ..dataset import PARTS
from ..edge_lists import in_range, positions, read_edges
from ..imported import Imported, Options, Part, parts_of_masks
from ..node_tables import ids_of
from ..npz import read_npz
from ..tables import integers, read_table

EDGES = "out1_graph_edges.txt"
NODES = "out1_node_feature_label.txt"
COLUMNS = ("node_id", "feature", "label")


def recognizes(path: Path) -> bool:
    return folder_of(path) is not None


def folder_of(path: Path) -> Path | None:
    """The folder itself, or `raw` in it, as PyG has it."""
    return next((f for f in (path, path / "raw") if (f / EDGES).is_file()), None)


def read(path: Path, options: Options) -> Imported:
    folder = folder_of(path)
    assert folder is not None
    table = read_table(folder / NODES, COLUMNS)
    if table.frame.shape[1] != 3:
        found = f"{table.frame.shape[1]} columns"
        raise InputError(f"{table.path}: expected {', '.join(COLUMNS)}, found {found}")
    node, feature, label = (table.frame.iloc[:, i] for i in range(3))
    ids = ids_of(node, table, "node_id")
    labels = integers(label, table, "a label")
    if labels is None:
        raise InputError(f"{table.path}: expected whole numbers as labels, found text")
    order = np.argsort(ids, kind="stable")
    edges = read_edges(folder / EDGES, options)
    N = len(ids)
    if np.array_equal(ids[order], np.arange(N)):  # rows of the splits' masks are ids
        graph = in_range(edges, N, f"{NODES} has {N} rows")
    else:
        order = np.arange(N)
        graph = positions(edges, ids, NODES)
    rows = [feature.iloc[i] for i in order]
    return Imported(
        edges=graph,
        weights=edges.weights,
        num_nodes=N,
        features=_features(rows, table.path),
        labels=labels[order],
        splits=_splits(folder, path, N),
    )


def _features(rows: list[object], path: Path) -> np.ndarray | sp.csr_matrix:
    """All D numbers of each node; or, in rows of unlike lengths (film), the columns that are 1."""
    with reading(path, "a table of features: numbers between commas"):
        parsed = [np.array(str(row).split(","), dtype=np.float64) for row in rows]
    lengths = np.array([len(row) for row in parsed])
    if len(set(lengths.tolist())) == 1:
        return np.stack(parsed)
    columns = np.concatenate(parsed)
    if (columns != np.floor(columns)).any() or columns.min() < 0 or columns.max() >= 2**20:
        raise InputError(f"{path}: expected as many features of every node, or columns of them")
    indptr = np.concatenate([[0], lengths.cumsum()])
    ones, shape = np.ones(len(columns), np.float32), (len(rows), int(columns.max()) + 1)
    matrix = sp.csr_matrix((ones, columns.astype(np.int64), indptr), shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _splits(folder: Path, path: Path, num_nodes: int) -> tuple[Part, ...]:
    """Of `<name>_split_*_<i>.npz`: in the folder, in `splits`, or in `splits` two folders up."""
    near = [*folder.glob("*_split_*.npz"), *(folder / "splits").glob("*_split_*.npz")]
    for above in () if near else (path.parent, path.parent.parent):
        near += (above / "splits").glob(f"{path.name}_split_*.npz")
    files = sorted(near, key=lambda file: [int(n) for n in re.findall(r"\d+", file.name)])
    splits: list[Part] = []
    for file in files:
        with reading(file, "a readable .npz of masks"):
            arrays = read_npz(file, [f"{part}_mask" for part in PARTS])
        masks = {part: arrays[f"{part}_mask"] for part in PARTS}
        splits += parts_of_masks(masks, num_nodes, str(file))
    return tuple(splits)


formats.add(
    Format(
        "geom-gcn",
        label="Geom-GCN",
        place=20,
        about="folder with out1_graph_edges.txt, out1_node_feature_label.txt, *_split_*.npz",
        recognizes=recognizes,
        read=read,
    )
)
