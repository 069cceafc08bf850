"""LINQS' citation graphs (Sen et al., 2008): NAME.content and NAME.cites; Pubmed-Diabetes' .tab."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ...errors import InputError
from ...registry import Format, formats
from ...system.reading import reading
from ..imported import Imported, Options

# Of the nodes, and of the links beside them.
PAIRS = ((".content", ".cites"), (".NODE.paper.tab", ".DIRECTED.cites.tab"))
BESIDE = ("label", "summary")  # of a row of .tab, what is no feature


class Files(NamedTuple):
    nodes: Path
    links: Path


class Nodes(NamedTuple):
    """`N` ids, classes and rows of features: columns and values that are not 0."""

    ids: list[str]
    labels: list[str]
    rows: list[tuple[np.ndarray, np.ndarray]]
    width: int


def _found(path: Path) -> list[Files]:
    """In the folder or in `data` there; or the file itself, with the other one beside it."""
    found = []
    for ending, other in PAIRS:
        if path.is_dir():
            nodes = sorted([*path.glob(f"*{ending}"), *(path / "data").glob(f"*{ending}")])
        else:
            nodes = [path] if path.name.endswith(ending) else []
        pairs = [Files(each, Path(str(each).removesuffix(ending) + other)) for each in nodes]
        found += [pair for pair in pairs if pair.nodes.is_file() and pair.links.is_file()]
    return found


def recognizes(path: Path) -> bool:
    return bool(_found(path))


def read(path: Path, options: Options) -> Imported:
    found = _found(path)
    if len(found) > 1:
        names = " and ".join(files.nodes.name for files in found)
        raise InputError(f"{path}: expected one graph, found {names}; name the file of one")
    files = found[0]
    tab = files.nodes.suffix == ".tab"
    with reading(files.nodes, "LINQS' table of papers"):
        nodes = _of_tab(files.nodes) if tab else _of_content(files.nodes)
    if not nodes.ids or not nodes.width:
        raise InputError(f"{files.nodes}: expected papers with features, found none")
    ids = pd.Index(nodes.ids)
    if (twice := ids.duplicated()).any():
        raise InputError(f"{files.nodes}: paper {ids[twice][0]} is there twice")
    with reading(files.links, "LINQS' list of citations"):
        pairs = list(_cited(files.links, tab))
    known = ids.get_indexer([paper for pair in pairs for paper in pair]).reshape(-1, 2)
    inside = (known >= 0).all(axis=1)
    if len(pairs) and not inside.any():
        raise InputError(f"{files.links}: expected papers of {files.nodes.name}, found none")
    notes = []
    if count := int((~inside).sum()):
        row = int((~inside).argmax())
        stranger = pairs[row][int(known[row, 0] >= 0)]
        notes.append(
            f"{files.links}: {count:,} citations of papers that are not in {files.nodes.name} are "
            f"left out, first of {stranger}"
        )
    N = len(ids)
    return Imported(
        edges=known[inside].astype(np.int64),
        num_nodes=N,
        features=_matrix(nodes),
        labels=_numbers_or_texts(nodes.labels),
        ids=_numbers_or_texts(nodes.ids),
        directed=True,
        notes=tuple(notes),
    )


def _lines(path: Path, skipped: int = 0) -> Iterator[tuple[int, list[str]]]:
    """Numbers of the lines that are not empty, from 1, and their fields."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if number > skipped and line.strip():
                yield number, line.strip().split("\t" if "\t" in line else None)


def _of_content(path: Path) -> Nodes:
    """id, numbers, class; between tabs or spaces."""
    nodes = Nodes([], [], [], 0)
    for number, (paper, *words) in _lines(path):
        width = len(words) - 1
        nodes = nodes._replace(width=nodes.width if nodes.ids else width)
        if width != nodes.width:
            expected = f"expected {nodes.width} numbers between id and class"
            raise InputError(f"{path}: {expected}, found {width} in line {number}")
        values = _floats(words[:-1], path, number)
        columns = np.flatnonzero(values)
        nodes.ids.append(paper)
        nodes.labels.append(words[-1])
        nodes.rows.append((columns, values[columns]))
    return nodes


def _of_tab(path: Path) -> Nodes:
    """Two lines that name the columns; then id and NAME=VALUE of those that are not 0."""
    lines = _lines(path)
    (_, kind), (_, header) = next(lines), next(lines)
    names = [field.split(":")[1] for field in header if field.startswith("numeric:")]
    if kind[0] != "NODE" or len(set(names)) < max(1, len(names)):
        raise InputError(f"{path}: expected NODE, and a line of distinct numeric:NAME:0.0")
    column = {name: i for i, name in enumerate(names)}
    nodes = Nodes([], [], [], len(names))
    for number, (paper, *fields) in lines:
        given = dict(field.split("=", 1) for field in fields)
        words = [name for name in given if name not in BESIDE]
        if len(given) < len(fields):
            keys = [field.split("=", 1)[0] for field in fields]
            twice = next(key for i, key in enumerate(keys) if key in keys[:i])
            raise InputError(
                f"{path}: expected each name once, found {twice} twice in line {number}"
            )
        strange = next((name for name in words if name not in column), None)
        if "label" not in given or strange is not None:
            found = "no label" if strange is None else f"{strange}, which no column has,"
            raise InputError(
                f"{path}: expected label=, and columns; found {found} in line {number}"
            )
        values = _floats([given[name] for name in words], path, number)
        nodes.ids.append(paper)
        nodes.labels.append(given["label"])
        nodes.rows.append((np.array([column[name] for name in words], np.int64), values))
    return nodes


def _floats(words: list[str], path: Path, number: int) -> np.ndarray:
    try:
        return np.array(words, dtype=str).astype(np.float64)
    except ValueError as error:
        raise InputError(f"{path}: expected numbers in line {number}: {error}") from None


def _cited(path: Path, tab: bool) -> Iterator[tuple[str, str]]:
    """The two papers of each citation: of .tab those that are written paper:ID."""
    for number, fields in _lines(path, skipped=2 if tab else 0):
        papers = fields
        if tab:
            papers = [f.removeprefix("paper:") for f in fields if f.startswith("paper:")]
        if len(papers) != 2:
            raise InputError(f"{path}: expected two papers, found {len(papers)} in line {number}")
        yield papers[0], papers[1]


def _matrix(nodes: Nodes) -> sp.csr_matrix:
    ends = np.cumsum([0, *(len(columns) for columns, _ in nodes.rows)])
    columns, values = (np.concatenate(part) for part in zip(*nodes.rows, strict=True))
    return sp.csr_matrix((values, columns, ends), shape=(len(nodes.ids), nodes.width))


def _numbers_or_texts(words: list[str]) -> np.ndarray:
    """int64 where all are written as such."""
    texts = np.array(words, dtype=str)
    if all(word.isascii() and word.isdigit() and len(word) < 19 for word in words):
        numbers = texts.astype(np.int64)
        if (numbers.astype(str) == texts).all():
            return numbers
    return texts


formats.add(
    Format(
        "linqs",
        label="LINQS",
        place=24,
        about="NAME.content and NAME.cites (Cora, Citeseer, WebKB), or Pubmed-Diabetes' .tab",
        recognizes=recognizes,
        read=read,
    )
)
