"""A table of nodes: ids, labels and splits as columns, and what else is a number as features."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from ..config.fields import Task
from ..errors import InputError
from .dataset import PARTS
from .imported import Options, Part
from .labels import NUMBERS
from .tables import (
    Table,
    coerced,
    integers,
    integers_or_none,
    numbers,
    texts,
    without_row_numbers,
)
from .text_tables import IDS, NO_VALUE, is_missing

LABELS = ("label", "labels", "class", "y", "target", "category", "community", "page_type",
          "ml_target", "mature", "department", "group")  # fmt: skip
NUMBERED = re.compile(r"(labels?|class(es)?|targets?|y)[_ -]\d+")  # of several labels
SPLITS = ("split", "set", "subset", "fold", "part", "partition")
NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
         "dev": "val", "test": "test", "testing": "test"}  # fmt: skip
OUTSIDE = (*NO_VALUE, "-", "unlabeled", "unlabelled", "unused")
COLUMNS = frozenset((*IDS, *LABELS, *SPLITS, *(f"{part}_mask" for part in PARTS)))


class Nodes(NamedTuple):
    """
    Args:
        rows: N.
        ids: of the rows, int64 or text `[N]`; None: row i is node i.
        labels: int64, -1 for none, text, empty for none, or floats, NaN for none; of several
            columns numbers `[N, C]`; None: there is no such column.
        label_names: of the columns that hold no classes; None: there are none.
        features: `[N, D]`; None: no other column holds numbers.
        unused: columns that were not read.
    """

    rows: int
    ids: np.ndarray | None
    labels: np.ndarray | None
    label_names: tuple[str, ...] | None
    splits: tuple[Part, ...]
    features: np.ndarray | None
    unused: tuple[str, ...]


def read_nodes(table: Table, options: Options, features: bool = True) -> Nodes:
    """The columns by their names, or by those that the options give.

    Args:
        features: whether those of the table are used: then they may not lack a number.

    Raises:
        InputError: names the column and the row.
    """
    table = without_row_numbers(table)
    frame = table.frame
    names = {str(name).strip().lower(): name for name in reversed(list(frame.columns))}
    id_column = _chosen(options.id, "--id", names, ("", *IDS), table)
    if not table.named and frame.shape[1] == 2 and options.id is options.label is None:
        id_column, label = frame.columns
        of_labels = [label]
    else:
        of_labels = _label_columns(options.label, names, table)
    splits, of_splits = _splits(frame, table)
    taken = {each for each in (id_column, *of_labels, *of_splits) if each is not None}
    found, unused = _features(frame.drop(columns=list(taken)), table, features)
    labels = _labels(frame[of_labels], table, options.task) if of_labels else None
    return Nodes(
        len(frame),
        None if id_column is None else ids_of(frame[id_column], table, str(id_column)),
        labels,
        None if labels is None or labels.dtype.kind in "iU" else tuple(map(str, of_labels)),
        splits,
        found,
        unused,
    )


def _chosen(
    given: str | None, option: str, names: dict[str, object], usual: tuple[str, ...], table: Table
) -> object | None:
    if given is None:
        return next((names[name] for name in usual if name in names), None)
    if given.lower() not in names:
        has = ", ".join(map(str, table.frame.columns))
        raise InputError(f"{option} {given}: {table.path} has {has}")
    return names[given.lower()]


def ids_of(values: pd.Series, table: Table, column: str) -> np.ndarray:
    """Distinct ids, int64 or text `[N]`."""
    whole = integers(values, table, f"column {column}: a node id")
    ids = texts(values) if whole is None else whole
    if ids.dtype.kind == "U" and (ids == "").any():
        row = int((ids == "").argmax())
        raise InputError(f"{table.path}: column {column}: no node id in {table.place(row)}")
    twice = pd.Index(ids).duplicated()
    if twice.any():
        row = int(twice.argmax())
        raise InputError(
            f"{table.path}: column {column}: node {ids[row]} is there again in {table.place(row)}"
        )
    return ids


def _label_columns(
    given: tuple[str, ...] | None, names: dict[str, object], table: Table
) -> list[object]:
    """Those that are given; else the first of a usual name, else all of such names and numbers."""
    if given is None:
        alone = next((names[name] for name in LABELS if name in names), None)
        numbered = [c for name, c in names.items() if NUMBERED.fullmatch(name)]
        return sorted(numbered, key=list(table.frame).index) if alone is None else [alone]
    split = [text if text.lower() in names else text.split(",") for text in given]
    flat = [each for item in split for each in ([item] if isinstance(item, str) else item)]
    columns = [_chosen(name.strip(), "--label", names, (), table) for name in flat]
    if len(set(columns)) < len(columns):
        raise InputError(f"--label {','.join(flat)}: expected each column once")
    return columns


def _labels(frame: pd.DataFrame, table: Table, task: Task | Literal["auto"]) -> np.ndarray:
    """Of the columns of labels: classes of one, unless it holds numbers that are not whole, or
    `task` says so; numbers of several."""
    if frame.shape[1] == 1 and task in ("auto", "classification"):
        classes = _classes(frame.iloc[:, 0], table, str(frame.columns[0]), task)
        if classes is not None:
            return classes
    columns = [_numbers(frame[name], table, str(name)) for name in frame]
    return columns[0] if len(columns) == 1 else np.column_stack(columns)


def _classes(
    values: pd.Series, table: Table, column: str, task: Task | Literal["auto"]
) -> np.ndarray | None:
    """None, if `task` is auto: floats that are not whole."""
    missing = _missing(values)
    filled = values.mask(missing, "-1") if missing.any() else values
    whole = integers_or_none(filled)
    if whole is None and task == "auto" and not missing.all() and numbers(values) is not None:
        return None
    labels = np.where(missing, "", texts(values)) if whole is None else whole
    known = labels[~missing]
    if len(known) > 2 and len(np.unique(known)) == len(known):
        hint = "--label names the column of classes"
        hint += f"; {NUMBERS}" if whole is not None else ""
        raise InputError(
            f"{table.path}: column {column}: every node has a label of its own; {hint}"
        )
    return labels


def _missing(values: pd.Series) -> np.ndarray:
    """Which cells have no value, bool `[R]`."""
    return np.array([is_missing(each) for each in texts(values)], dtype=bool)


def _numbers(values: pd.Series, table: Table, column: str) -> np.ndarray:
    """float64 `[N]`, NaN where a cell has no value; true and false are 1 and 0."""
    found = numbers(values)
    if found is not None:
        return found.astype(np.float64)
    cells = pd.Series(np.char.lower(texts(values))).replace({"true": "1", "false": "0"})
    found = numbers(cells)
    if found is None:
        row = int((np.isnan(coerced(cells)) & ~_missing(cells)).argmax())
        told = f"found {str(values.iloc[row])!r} in {table.place(row)}"
        raise InputError(f"{table.path}: column {column}: expected numbers as labels, {told}")
    return found


def _splits(frame: pd.DataFrame, table: Table) -> tuple[tuple[Part, ...], list[object]]:
    """The splits, and the columns that they are in."""
    masks = {p: c for c in frame for p in PARTS if str(c).strip().lower() == f"{p}_mask"}
    if len(masks) == len(PARTS):
        split = {p: np.flatnonzero(_mask(frame[c], table, str(c))) for p, c in masks.items()}
        return (split,), list(masks.values())
    lower = {column: str(column).strip().lower() for column in frame}
    numbered = [c for c, name in lower.items() if re.fullmatch(r"split[_ -]?\d+", name)]
    columns = sorted(numbered, key=lambda c: int(re.findall(r"\d+", lower[c])[0]))
    if not columns:
        columns = [c for name in SPLITS for c in frame if lower[c] == name][:1]
    return tuple(_split(frame[column], table, str(column)) for column in columns), columns


def _mask(values: pd.Series, table: Table, column: str) -> np.ndarray:
    text = np.char.lower(texts(values))
    wrong = ~np.isin(text, ("0", "1", "true", "false"))
    if wrong.any():
        row = int(wrong.argmax())
        found = f"found {str(text[row])!r} in {table.place(row)}"
        raise InputError(f"{table.path}: column {column}: expected 0 or 1, {found}")
    return np.isin(text, ("1", "true"))


def _split(values: pd.Series, table: Table, column: str) -> Part:
    text = np.char.lower(texts(values))
    wrong = ~np.isin(text, [*NAMES, *OUTSIDE])
    if wrong.any():
        row = int(wrong.argmax())
        expected = f"{', '.join(NAMES)} or nothing"
        raise InputError(
            f"{table.path}: column {column}: expected {expected}; found {str(text[row])!r} in "
            f"{table.place(row)}"
        )
    return {
        part: np.flatnonzero(np.isin(text, [word for word, p in NAMES.items() if p == part]))
        for part in PARTS
    }


def _features(
    frame: pd.DataFrame, table: Table, complete: bool = True
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The columns of numbers, and the names of the others.

    Raises:
        InputError: a cell of the first is empty, or most of a column are numbers and some are not,
            unless they need not be `complete`.
    """
    found = {column: numbers(frame[column]) for column in frame}
    for name in (name for name, values in found.items() if complete and values is None):
        known = ~_missing(frame[name])
        text = np.isnan(coerced(frame[name])) & known
        if 2 * text.sum() < known.sum():
            row = int(text.argmax())
            told = f"found {str(frame[name].iloc[row])!r} in {table.place(row)}"
            raise InputError(f"{table.path}: column {name}: expected a number, {told}")
    columns = {name: values for name, values in found.items() if values is not None}
    for name, values in columns.items():
        if complete and values.dtype.kind == "f" and np.isnan(values).any():
            row = int(np.isnan(values).argmax())
            raise InputError(
                f"{table.path}: column {name}: expected a number, found none in {table.place(row)}"
            )
    unused = tuple(str(name) for name, values in found.items() if values is None)
    return (np.column_stack(list(columns.values())) if columns and len(frame) else None), unused


def features_of(table: Table) -> tuple[np.ndarray, np.ndarray | None]:
    """Of a table of features alone: `[N, D]`, and the ids of its rows where it has them."""
    table = without_row_numbers(table)
    names = {str(name).strip().lower(): name for name in table.frame.columns}
    column = next((names[name] for name in ("", *IDS) if name in names), None)
    ids = None if column is None else ids_of(table.frame[column], table, str(column))
    rest = table.frame if column is None else table.frame.drop(columns=[column])
    features, unused = _features(rest, table)
    if unused or features is None:
        found = f"text in column {unused[0]}" if unused else "none"
        raise InputError(f"{table.path}: expected numbers as features, found {found}")
    return features, ids
