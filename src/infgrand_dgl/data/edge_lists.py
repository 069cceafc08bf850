"""Edge lists: two columns of node ids, numbers or text."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..errors import InputError
from ..system.arrays import load_array
from ..system.reading import reading
from .imported import Options
from .npz import read_matrix
from .tables import (
    Table,
    coerced,
    count_rows,
    first_row,
    integers,
    numbers,
    read_table,
    texts,
    without_row_numbers,
)
from .weights import Listed, as_weights, chosen, of_columns, of_matrix, refuse_unclear

SOURCES = ("source", "src", "from", "fromnodeid", "from_node_id", "from_id", "source_id", "u",
           "id_1", "id1", "node_1", "node1", "head", "start", "citing")  # fmt: skip
TARGETS = ("target", "dst", "to", "tonodeid", "to_node_id", "to_id", "target_id", "v", "id_2",
           "id2", "node_2", "node2", "tail", "end", "cited", "dest")  # fmt: skip

NAMED = "where ids are names, a node table (nodes.csv with a column id) says whose row is whose"
HUGE = 10  # times as many as there are nodes: an id that is no row, but a name


class EdgeList(NamedTuple):
    """
    Args:
        ids: int64 or text `[E, 2]`.
        table: where they were read.
        weights: numbers `[E]`; None: there are none.
        unused: columns that were not read.
        num_nodes: N, of an adjacency; None: the list does not say.
        directed: as of `imported.Imported`.
        notes: lines for the user.
    """

    ids: np.ndarray
    table: Table
    weights: np.ndarray | None = None
    unused: tuple[str, ...] = ()
    num_nodes: int | None = None
    directed: bool | None = None
    notes: tuple[str, ...] = ()


def read_edges(path: Path, options: Options) -> EdgeList:
    """Of .npy `[E, 2]`, Parquet, text, or a matrix of SciPy's in .npz.

    Raises:
        InputError: a missing id, which names its row; ids that are neither; numbers that may be
            weights, which nobody has named.
    """
    if path.suffix.lower() == ".npy":
        return _of_array(path, options)
    if path.suffix.lower() == ".npz":
        return _of_matrix(path, options)
    table = _of_networkx(path) or without_row_numbers(read_table(path, (*SOURCES, *TARGETS)))
    frame = table.frame
    if frame.shape[1] < 2:
        raise InputError(f"{path}: expected two node ids a row, found {list(frame.shape)}")
    lower = [str(name).strip().lower() for name in frame.columns]
    source = next((lower.index(name) for name in SOURCES if name in lower), None)
    target = next((lower.index(name) for name in TARGETS if name in lower), None)
    if source is None or target is None or not table.named:
        source, target = 0, 1
    others = [i for i in range(frame.shape[1]) if i not in (source, target)]
    k = chosen([str(frame.columns[i]) for i in others], options.weights, str(path))
    taken = None if k is None else others.pop(k)
    weights = None if taken is None else _weights(frame.iloc[:, taken], table)
    unclear = [i for i in others if not table.named or lower[i] == ""]
    for i in unclear if options.weights is None else ():
        what = f"{path}: expected shape [E, 2], found {list(frame.shape)}; column {i} is unclear"
        refuse_unclear(numbers(frame.iloc[:, i]), what)
    columns = [frame.iloc[:, source], frame.iloc[:, target]]
    unused = tuple(str(frame.columns[i]) for i in others if i not in unclear)
    return EdgeList(_ids(columns, table), table, weights, unused)


def _of_networkx(path: Path) -> Table | None:
    """What `networkx.write_edgelist` writes, a dict of attributes after two ids: as columns. None:
    it is something else."""
    line = "" if path.suffix.lower() == ".parquet" else first_row(path).rstrip()
    if not line.endswith("}") or "{" not in line[1:]:
        return None
    mark = line[line.index("{") - 1]
    with reading(path, "an edge list as NetworkX writes it"):
        import networkx as nx

        kind = nx.MultiDiGraph  # every row is an edge of its own
        graph = nx.read_edgelist(path, delimiter=mark if mark in ",\t" else None, create_using=kind)
        if (rows := count_rows(path, mark)) != graph.number_of_edges():  # it skips what is no edge
            found = f"{graph.number_of_edges()} in {rows} rows"
            raise InputError(f"{path}: expected two node ids a row, found {found}")
    edges = [{"source": u, "target": v, **data} for u, v, data in graph.edges(data=True)]
    return Table(pd.DataFrame(edges), True, path, None)


def _weights(column: pd.Series, table: Table) -> np.ndarray:
    values, where = coerced(column), f"{table.path}: column {column.name}"
    if column.to_numpy().dtype.kind not in "biuf" and np.isnan(values).any():
        row = int(np.isnan(values).argmax())
        found = f"{str(column.iloc[row]).strip()!r} in {table.place(row)}"
        raise InputError(f"{where}: expected numbers as edge weights, found {found}")
    return as_weights(values, where, table.place)


def _ids(columns: list[pd.Series], table: Table) -> np.ndarray:
    whole = [integers(column, table, "a node id") for column in columns]
    if all(each is not None for each in whole):
        return np.stack(whole, axis=1)  # type: ignore[arg-type]
    ids = np.stack([texts(column) for column in columns], axis=1)
    empty = (ids == "").any(axis=1)
    if empty.any():
        raise InputError(f"{table.path}: no node id in {table.place(int(empty.argmax()))}")
    return ids


def _of_array(path: Path, options: Options) -> EdgeList:
    array = load_array(path)
    with reading(path, "a readable list of edges"):
        names = array.dtype.kind == "U" and array.ndim == 2 and array.shape[1] == 2
        listed = Listed(array) if names else of_columns(array, options.weights, path)
        table = Table(pd.DataFrame(listed.edges), False, path, None)
        ids = _ids([table.frame[0], table.frame[1]], table)
        return EdgeList(ids, table, listed.weights)


def _of_matrix(path: Path, options: Options) -> EdgeList:
    matrix = read_matrix(path)
    found = of_matrix(matrix, options.weights, str(path))
    table = Table(pd.DataFrame(found.edges), False, path, None)
    N = matrix.shape[0]
    return EdgeList(found.edges, table, found.weights, (), N, found.directed, found.notes)


def perhaps_header(edges: EdgeList) -> bool:
    """Whether the first row is a line whose ids are words, or what pandas writes above columns
    without names, neither of which is a node of the rows below."""
    ids, table = edges.ids, edges.table
    if table.named or table.skipped is None or len(ids) < 2:
        return False
    if ids.dtype.kind == "U":
        words = not any(_whole(each) for each in ids[0])
        return words and ids[0, 0] != ids[0, 1] and not np.isin(ids[1:], ids[0]).any()
    again = (ids[1:] == (0, 1)).all(axis=1) | (ids[1:] == (1, 0)).all(axis=1)
    return table.skipped == 0 and ids[0].tolist() == [0, 1] and not again.any()


def positions(edges: EdgeList, ids: np.ndarray, where: str) -> np.ndarray:
    """Rows of the ids, int64 `[E, 2]`.

    Args:
        ids: of the nodes, int64 or text `[N]`.
        where: what has them, for the message.
    """
    given = edges.ids
    if given.dtype.kind != ids.dtype.kind:
        given, ids = given.astype(str), ids.astype(str)
    found = pd.Index(ids).get_indexer(pd.Index(given.ravel())).reshape(given.shape)
    missing = (found < 0).any(axis=1)
    if missing.any():
        row = int(missing.argmax())
        name = str(given[row][found[row] < 0][0])
        path, place = edges.table.path, edges.table.place(row)
        hint = "; is it a header?" if row == 0 and perhaps_header(edges) else ""
        raise InputError(f"{path}: expected ids of {where}, found {name!r} in {place}{hint}")
    return found.astype(np.int64)


def in_range(edges: EdgeList, num_nodes: int, where: str, hint: str = NAMED) -> np.ndarray:
    """Ids that are rows already, int64 `[E, 2]`.

    Args:
        where: what has so many rows.
        hint: what a user does where ids are none.
    """
    ids, table = edges.ids, edges.table
    expected = f"{table.path}: expected node ids 0 to {num_nodes - 1} ({where})"
    if ids.dtype.kind == "U":
        row = next(i for i, pair in enumerate(ids) if not all(_whole(each) for each in pair))
        first, second = map(repr, ids[row].tolist())
        raise InputError(f"{expected}, found {first}, {second} in {table.place(row)}; {hint}")
    wrong = ((ids < 0) | (ids >= num_nodes)).any(axis=1)
    if not wrong.any():
        return ids
    row = int(wrong.argmax())
    told = f"{expected}, found edge {ids[row, 0]}, {ids[row, 1]} in {table.place(row)}"
    if ids.min() == 1 and ids.max() == num_nodes:
        told += "; they seem to count from 1"
    elif ids.max() >= HUGE * num_nodes:
        told += f"; {hint}"
    raise InputError(told)


def _whole(text: str) -> bool:
    return text.lstrip("+-").isdecimal()
