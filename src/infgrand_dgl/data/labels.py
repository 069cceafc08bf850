"""Labels as people store them: numbers of classes, codes with gaps, or names."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..errors import InputError

UNLABELLED = -1
Classes = tuple[int, ...] | tuple[str, ...]
NO_NAME = ("", "-1", "nan")  # texts for no label; pandas writes the last


class Labels(NamedTuple):
    """
    Args:
        values: int64 `[N]`, in `[0, C)` or -1 for none.
        num_classes: C, of the classes that occur; 0 where no node has a label.
        classes: their codes or names; None: they are 0 to C-1.
    """

    values: Tensor
    num_classes: int
    classes: Classes | None


def read_labels(array: np.ndarray, where: str) -> Labels:
    """Classes in ascending order of their codes, or in the order of their names.

    Args:
        array: `[N]` or `[N, 1]`. Whole numbers from 0 of any type, -1 or NaN where there is none;
            or text, empty, "-1" or "nan" where there is none, of Python's also None or NaN.

    Raises:
        InputError: starts with `where`; another shape, type or number.
    """
    if array.shape[1:] == (1,):
        array = array[:, 0]
    if array.ndim != 1:
        hint = ""
        if array.ndim == 2 and array.dtype.kind in "biuf" and (array.sum(axis=1) == 1).all():
            hint = "; of one-hot rows argmax(axis=1) makes classes"
        shape = f"{array.dtype} {list(array.shape)}"
        raise InputError(f"{where}: expected one label a node, [N], found {shape}{hint}")
    if array.dtype.kind == "O":  # pandas' texts
        none = pd.isna(array)
        if all(isinstance(each, str) for each in array[~none]):
            array = np.where(none, "", array).astype(str)
    if array.dtype.kind in "US":
        codes, known = _names(array, where)
    elif array.dtype.kind in "biuf":
        codes, known = _numbers(array, where)
    else:
        raise InputError(f"{where}: expected integers or texts, found {array.dtype}")
    found, inverse = np.unique(codes[known], return_inverse=True)
    values = np.full(len(array), UNLABELLED, np.int64)
    values[known] = inverse
    given = tuple(found.tolist())
    classes = None if given == tuple(range(len(given))) else given
    return Labels(torch.from_numpy(values), len(given), classes)


def _names(array: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Texts, and which nodes have one."""
    if array.dtype.kind == "S":
        try:
            array = np.char.decode(array, "utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{where}: expected text in UTF-8, found other bytes") from None
    array = np.char.strip(array)
    return array, ~np.isin(array, NO_NAME)


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
        raise InputError(f"{where}: {expected}; found {numbers[node]} at node {node}")
    return codes, codes != UNLABELLED
