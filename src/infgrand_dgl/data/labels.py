"""Labels as people store them: classes as numbers, codes or names; several a node; or numbers."""

from __future__ import annotations

from numbers import Real
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..config.fields import Task
from ..errors import InputError
from ..system.arrays import slices
from .text_tables import NO_VALUE

UNLABELLED = -1
Classes = tuple[int, ...] | tuple[str, ...]
MAX_COLUMNS = 1 << 16  # of labels: a model has an output for each
ROWS = 1 << 16  # that are checked together
SEVERAL = "data.task: multilabel (or --task) takes them as they are"
BOTH_WAYS = f"argmax(axis=1) makes classes of them, {SEVERAL}"
NUMBERS = "data.task: regression (or --task) reads numbers"


class Labels(NamedTuple):
    """
    Args:
        values: of classes int64 `[N]`, in `[0, C)` or -1 for none; of the other tasks float32
            `[N, C]`, NaN for none.
        num_classes: C, of the classes that occur, 0 where no node has a label; or of columns.
        classes: codes or names of the classes; None: they are 0 to C-1.
        task: what the labels are.
    """

    values: Tensor
    num_classes: int
    classes: Classes | None
    task: Task = "classification"


def labelled(values: Tensor) -> Tensor:
    """Which nodes have a label, of several at least one; bool `[N]`.

    Args:
        values: as in `Labels`.
    """
    return values != UNLABELLED if values.ndim == 1 else ~values.isnan().all(dim=1)


def read_labels(array: np.ndarray, where: str, task: Task | Literal["auto"] = "auto") -> Labels:
    """Classes in ascending order of their codes, or in the order of their names; or columns.

    Args:
        array: of classes `[N]` or `[N, 1]`: whole numbers from 0 of any type, -1 or NaN where
            there is none; or text, empty, "-1" or as NO_VALUE where there is none, of Python's also
            None or NaN. Of several labels a node `[N, C]` of 0, 1, and NaN where it is unknown. Of
            regression numbers `[N]` or `[N, C]`, NaN where there is none; float32 is not copied.
        task: auto: as `task_of` says.

    Raises:
        InputError: starts with `where`; another shape, type or number, or one-hot rows, which are
            classes or labels as the user says.
    """
    array = plain(array)
    if task == "auto":
        found = task_of(array)
        if found is None:
            raise InputError(f"{where}: {_not_classes(array)}; of one-hot rows {BOTH_WAYS}")
        task = found
        if task != "multilabel" and _is_signed(array):
            expected = "expected 0 for a label that a node has not, NaN for an unknown one"
            raise InputError(f"{where}: {expected}; found -1, 0 and 1 alone; {NUMBERS}")
    if task != "classification":
        columns = _columns(array, where, task)
        return Labels(columns, columns.shape[1], None, task)
    if is_one_hot(array):
        array = classes_of_rows(array)
    if array.shape[1:] == (1,):
        array = array[:, 0]
    if array.ndim != 1:
        several = array.dtype.kind in "biuf" and task_of(array) == "multilabel"
        hint = f"; {SEVERAL if several else NUMBERS}" if array.dtype.kind in "biuf" else ""
        raise InputError(f"{where}: {_not_classes(array)}{hint}")
    if array.dtype.kind in "US":
        codes, known = _names(array, where)
    elif array.dtype.kind in "biuf":
        codes, known = _numbers(array, where)
    else:
        raise InputError(f"{where}: expected integers or texts, found {array.dtype}")
    occurring, inverse = np.unique(codes[known], return_inverse=True)
    values = np.full(len(array), UNLABELLED, np.int64)
    values[known] = inverse
    given = tuple(occurring.tolist())
    classes = None if given == tuple(range(len(given))) else given
    return Labels(torch.from_numpy(values), len(given), classes)


def task_of(array: np.ndarray) -> Task | None:
    """What labels look like: `[N]` are classes, unless some are floats that are not whole;
    `[N, C]` are several labels if all are 0, 1 or NaN, otherwise floats are numbers.

    None: rows with a single 1 each, which may be classes and labels.
    """
    array = plain(array)
    kind = array.dtype.kind
    if array.ndim != 2 or array.shape[1] == 1:
        whole = kind != "f" or bool(((array == np.floor(array)) | np.isnan(array)).all())
        return "classification" if whole or array.ndim > 2 else "regression"
    if kind in "biuf" and not any(_no_label(array[rows]).any() for rows in _blocks(array)):
        return None if is_one_hot(array) else "multilabel"
    return "regression" if kind == "f" else "classification"


def is_one_hot(array: np.ndarray, or_none: bool = False) -> bool:
    """Whether `[N, C]`, C > 1, has a single 1 and otherwise 0 in every row that is not all NaN.

    Args:
        or_none: rows of zeros count too.
    """
    if array.ndim != 2 or array.shape[1] < 2 or array.dtype.kind not in "biuf":
        return False
    some = False
    for rows in _blocks(array):
        part = array[rows]
        ones, zeros = ((part == value).sum(axis=1) for value in (1, 0))
        hot = (ones == 1) & (zeros == array.shape[1] - 1)
        none = np.isnan(part).all(axis=1) | (or_none & (zeros == array.shape[1]))
        if not (hot | none).all():
            return False
        some = some or bool(hot.any())
    return some


def classes_of_rows(array: np.ndarray) -> np.ndarray:
    """int64 `[N]`: the column of a row's 1; -1 of a row without one."""
    hot = array == 1
    return np.where(hot.any(axis=1), hot.argmax(axis=1), UNLABELLED)


def plain(array: np.ndarray) -> np.ndarray:
    """Texts or floats of an array of Python's, None where there is none."""
    if array.dtype.kind != "O":
        return array
    none = pd.isna(array)
    if all(isinstance(each, str) for each in array[~none]):
        return np.where(none, "", array).astype(str)
    if all(isinstance(each, Real) for each in array[~none]):
        return np.where(none, np.nan, array).astype(np.float64)
    return array


def _not_classes(array: np.ndarray) -> str:
    return f"expected one label a node, [N], found {array.dtype} {list(array.shape)}"


def _blocks(array: np.ndarray) -> list[slice]:
    return list(slices(range(len(array)), ROWS))


def _is_signed(array: np.ndarray) -> bool:
    """Whether `[N, C]`, C > 1, has no other numbers than -1, 0 and 1, as some code labels."""
    if array.ndim != 2 or array.shape[1] < 2 or array.dtype.kind not in "biuf":
        return False
    parts = (array[rows] for rows in _blocks(array))
    return all(((part == -1) | ~_no_label(part)).all() for part in parts)


def _no_label(values: np.ndarray) -> np.ndarray:
    return ~((values == 0) | (values == 1) | np.isnan(values))


def _columns(array: np.ndarray, where: str, task: Task) -> Tensor:
    """float32 `[N, C]`."""
    shape = f"{array.dtype} {list(array.shape)}"
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or not array.shape[1] or array.dtype.kind not in "biuf":
        raise InputError(f"{where}: expected numbers [N, C] (data.task: {task}), found {shape}")
    if array.shape[1] > MAX_COLUMNS:
        raise InputError(f"{where}: expected at most {MAX_COLUMNS} columns, found {shape}")
    with np.errstate(over="ignore"):
        values = np.require(array, np.float32, ["C", "W"])
    multilabel = task == "multilabel"
    expected = (
        "0, 1, or NaN for unknown (data.task: multilabel)"
        if multilabel
        else "finite numbers within float32, or NaN for unknown (data.task: regression)"
    )
    for rows in _blocks(array):
        wrong = _no_label(array[rows]) if multilabel else np.isinf(values[rows])
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            found = f"{array[rows][row, column]} at node {rows.start + row}"
            of = f", column {column}" if array.shape[1] > 1 else ""
            raise InputError(f"{where}: expected {expected}; found {found}{of}")
    return torch.from_numpy(values)


def _names(array: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Texts, and which nodes have one."""
    if array.dtype.kind == "S":
        try:
            array = np.char.decode(array, "utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{where}: expected text in UTF-8, found other bytes") from None
    array = np.char.strip(array)
    return array, ~np.isin(np.char.lower(array), ("-1", *NO_VALUE))


def _numbers(array: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """int64 codes, and which nodes have one."""
    none = np.isnan(array) if array.dtype.kind == "f" else np.zeros(len(array), bool)
    numbers = np.where(none, UNLABELLED, array) if none.any() else array
    with np.errstate(invalid="ignore"):
        codes = numbers.astype(np.int64)
    wrong = (codes != numbers) | (codes < UNLABELLED) | ((codes < 0) != (numbers < 0))
    if wrong.any():
        node = int(wrong.argmax())
        expected = "expected whole numbers from 0 within 64 bits, or -1 for none"
        raise InputError(f"{where}: {expected}; found {numbers[node]} at node {node}; {NUMBERS}")
    return codes, codes != UNLABELLED
