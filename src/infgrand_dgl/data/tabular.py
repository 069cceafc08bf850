"""A graph of separate files: an edge list, a table of nodes, features, labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError
from ..system.arrays import load_array
from .edge_lists import NAMED, EdgeList, in_range, perhaps_header, positions, read_edges
from .feature_files import read_features
from .imported import Imported, Options
from .label_names import read_names
from .node_tables import COLUMNS, Nodes, read_nodes
from .node_tables import LABELS as USUAL
from .tables import Table, numbers, read_table, without_row_numbers
from .text_tables import IDS
from .weights import one_each

TABLES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", ".parquet")
EDGES = tuple(f"edges{suffix}" for suffix in (".npy", *TABLES))
NODES = tuple(f"nodes{suffix}" for suffix in TABLES)
FEATURES = tuple(f"features{suffix}" for suffix in (".npy", ".npz", *TABLES))
LABELS = tuple(f"labels{suffix}" for suffix in (".npy", *TABLES))
WEIGHTS = tuple(f"weights{suffix}" for suffix in (".npy", *TABLES))


def one_of(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The file of one of these names; None: there is none.

    Raises:
        InputError: there are several.
    """
    found = [folder / name for name in names if (folder / name).exists()]
    if len(found) > 1:
        both = " and ".join(path.name for path in found)
        raise InputError(f"{folder}: expected one of {', '.join(names)}; found {both}")
    return found[0] if found else None


def read(
    edges_path: Path,
    options: Options,
    labels_path: Path | None = None,
    files: dict[str, Path] | None = None,
    weights_path: Path | None = None,
) -> Imported:
    """
    Args:
        options: also where node table and features are.
        labels_path: labels alone, `[N]` or one a row.
        files: as of `Imported`.
        weights_path: one number for each row of the edges.
    """
    edges = read_edges(edges_path, options)
    if weights_path is not None and options.weights is not False:
        edges = edges._replace(weights=_weights(weights_path, edges))
    nodes = Nodes(0, None, None, None, (), None, ())
    hint = NAMED
    if options.nodes is not None:
        table = read_table(options.nodes, COLUMNS)
        nodes = read_nodes(table, options, options.features is None)
        has = ", ".join(map(str, table.frame.columns))
        hint = f"{options.nodes} has no column id: data import --id names it (it has {has})"
    notes = [*edges.notes, *(_of_column(name, edges, options) for name in edges.unused)]
    if perhaps_header(edges):
        first = ",".join(map(repr, edges.ids[0].tolist()))
        told = f"the first row, {first}, is an edge; delete it if it is a header"
        notes.append(f"{edges_path}: {told}")
    features, ids, where = nodes.features, nodes.ids, str(options.nodes)
    if options.features is not None:
        features, of_rows = read_features(options.features)
        if nodes.features is not None:
            notes.append(f"{options.nodes}: its features give way to {options.features}")
        if ids is None:
            ids, where = of_rows, str(options.features)
        elif of_rows is not None:
            features = features[_rows_of(ids, of_rows, options.features, where)]
    if nodes.unused:
        notes.append(f"{options.nodes}: text is not used: {', '.join(nodes.unused)}")
    labels, names = nodes.labels, nodes.label_names
    if labels_path is not None:
        labels, names = _labels(labels_path, ids, options)
    N, ids, graph = _graph(edges, ids, where, hint, features, nodes, labels, notes)
    if edges.num_nodes not in (None, N):
        of = where if ids is not None else options.features or where
        expected = f"expected an adjacency of {N} nodes, as {of} has"
        raise InputError(f"{edges_path}: {expected}, found {edges.num_nodes}")
    named = (("features", options.features, features), ("labels", labels_path, labels))
    for name, path, rows in named:
        count = N if rows is None else rows.shape[0]
        if count != N:
            of = f"{edges_path.parent if path is None else path}: {name}"
            expected = f"{N} rows, one for each node of {where}"
            raise InputError(f"{of}: expected {expected}, found {count}")
    return Imported(
        edges=graph,
        weights=edges.weights,
        directed=edges.directed,
        num_nodes=N,
        features=features,
        labels=labels,
        label_names=names,
        splits=nodes.splits,
        table=options.nodes if nodes.splits else None,
        files=files or {},
        notes=tuple(notes),
        ids=None if ids is None or np.array_equal(ids, np.arange(N)) else ids,
    )


def _of_column(name: str, edges: EdgeList, options: Options) -> str:
    told = f"{edges.table.path}: column {name} is not used"
    perhaps = edges.weights is None and numbers(edges.table.frame[name]) is not None
    if options.weights is None and perhaps:
        told += f"; data import --weights {name} takes it as edge weights"
    return told


def _weights(path: Path, edges: EdgeList) -> np.ndarray:
    if edges.weights is not None:
        raise InputError(f"{path}: expected edge weights once, found some in {edges.table.path}")
    values = (
        load_array(path) if path.suffix.lower() == ".npy" else read_table(path).frame.to_numpy()
    )
    return one_each(values, len(edges.ids), str(path))


def _graph(
    edges: EdgeList,
    ids: np.ndarray | None,
    where: str,
    hint: str,
    features: object,
    nodes: Nodes,
    labels: np.ndarray | None,
    notes: list[str],
) -> tuple[int, np.ndarray | None, np.ndarray]:
    """N, ids of the nodes where they are not their rows, and the edges among the rows."""
    if ids is not None:
        return len(ids), ids, positions(edges, ids, where)
    for name, rows in (("features", features), ("labels", labels)):
        if rows is not None:
            count = int(rows.shape[0])  # type: ignore[attr-defined]
            return count, None, in_range(edges, count, f"{name} has {count} rows", hint)
    if nodes.rows:
        told = f"the table has {nodes.rows} rows"
        return nodes.rows, None, in_range(edges, nodes.rows, told, hint)
    if edges.num_nodes is not None:
        return edges.num_nodes, None, edges.ids
    # Nothing belongs to rows: the nodes are those that occur.
    found = pd.Index(edges.ids.ravel()).unique().sort_values().to_numpy()
    if found.dtype.kind == "O":
        found = found.astype(str)
    notes.append(f"{edges.table.path}: the nodes are the {len(found):,} ids that occur in it")
    return len(found), found, positions(edges, found, "nodes")


def _labels(
    path: Path, ids: np.ndarray | None, options: Options
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Labels of the rows, and names of their columns: of a file of them alone, or of a table of
    ids and labels."""
    if path.suffix.lower() == ".npy":
        array = load_array(path)
        return (array.ravel() if array.shape[:1] == (1,) else array), read_names(path.parent)
    table = read_table(path, COLUMNS)
    if table.frame.shape[1] == 1:
        values: pd.Series = table.frame.iloc[:, 0]
        # A column of text may begin with its name, which looks like one more label.
        table = table._replace(frame=pd.DataFrame({"label": values}), named=True)
    nodes = read_nodes(table, Options(label=_columns(table), task=options.task), features=False)
    if nodes.labels is None:
        found = ", ".join(map(str, table.frame.columns))
        raise InputError(f"{path}: expected a column label, found {found}")
    if nodes.ids is None:
        return nodes.labels, nodes.label_names
    wanted = np.arange(len(nodes.ids)) if ids is None else ids
    return nodes.labels[_rows_of(wanted, nodes.ids, path, "the nodes")], nodes.label_names


def _columns(table: Table) -> tuple[str, ...] | None:
    """All but ids, of a table of labels alone in which none has a usual name."""
    names = [str(name).strip() for name in without_row_numbers(table).frame]
    rest = tuple(name for name in names if name.lower() not in ("", *IDS))
    usual = any(name.lower() in USUAL for name in names)
    return None if usual or len(rest) < 2 or (len(names) == 2 and not table.named) else rest


def _rows_of(wanted: np.ndarray, ids: np.ndarray, path: Path, where: str) -> np.ndarray:
    """The rows of the ids in a file, int64 `[N]`."""
    if wanted.dtype.kind != ids.dtype.kind:
        wanted, ids = wanted.astype(str), ids.astype(str)
    rows = pd.Index(ids).get_indexer(pd.Index(wanted))
    if (rows < 0).any():
        name = wanted[rows < 0][0]
        raise InputError(f"{path}: expected a row for every node of {where}, found none of {name}")
    return rows
