"""Splits as people store them: masks, or ids of nodes, of one split or of several."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from .split import PARTS, Split


def from_masks(masks: Mapping[str, np.ndarray], num_nodes: int, where: str) -> tuple[Split, ...]:
    """The splits of one mask a part: `[N]` or `[N, 1]`, or `[N, k]` of k splits.

    Args:
        masks: bool, or numbers 0 and 1, by part; one without columns belongs to every split.
        where: begins messages.

    Raises:
        InputError: another shape or value, or parts of unlike numbers of splits.
    """
    columns = {p: _columns(np.asarray(masks[p]), num_nodes, f"{where}{p}_mask") for p in PARTS}
    return _combined({p: [np.flatnonzero(c) for c in columns[p].T] for p in PARTS}, where)


def given_splits(given: Any, num_nodes: int, where: str) -> tuple[Split, ...]:
    """The splits that a program gives: a `Split`, a mapping of train, val and test to what
    `from_json` takes, of NumPy or torch too, or a list of these; None: none.

    Raises:
        InputError: anything else, a mapping of other keys, or as of `from_json`.
    """
    if given is None:
        return ()
    if isinstance(given, Split):
        return (given,)
    if isinstance(given, list | tuple):
        each = (given_splits(one, num_nodes, f"{where}split {k}: ") for k, one in enumerate(given))
        return tuple(chain(*each))
    if not isinstance(given, Mapping) or set(given) != set(PARTS):
        found = ", ".join(map(str, given)) if isinstance(given, Mapping) else type(given).__name__
        expected = "expected a Split, a mapping of train, val and test to node ids, or a list of"
        raise InputError(f"{where}split: {expected} these; found {found or 'an empty one'}")
    lists = {part: _plain(ids) for part, ids in given.items()}
    return from_json(lists, num_nodes, f"{where}split ")


def _plain(ids: Any) -> Any:
    """Of NumPy or torch, as JSON has it."""
    if isinstance(ids, list | tuple | range):
        return [_plain(each) for each in ids]
    return ids.tolist() if hasattr(ids, "tolist") else ids


def from_json(content: Any, num_nodes: int, where: str) -> tuple[Split, ...]:
    """The splits of a JSON document: `{"train": ids, "val": ids, "test": ids}`, or a list of those.

    A part may instead be a mask, N of 0 and 1 or of true and false; and for k splits, a list of k
    lists of either, or N rows of k zeros and ones.

    Raises:
        InputError: names the part, what was expected and what was found.
    """
    if isinstance(content, list) and content and all(isinstance(each, dict) for each in content):
        return tuple(
            split
            for k, each in enumerate(content)
            for split in from_json(each, num_nodes, f"{where}split {k}: ")
        )
    parts = content if isinstance(content, dict) else {}
    if missing := [part for part in PARTS if part not in parts]:
        found = f"keys {', '.join(parts)}" if parts else reprlib.repr(content)
        raise InputError(f"{where}{missing[0]}: expected a list of node ids, found {found}")
    lists = {part: _lists(parts.get(part), num_nodes, f"{where}{part}") for part in PARTS}
    return _combined(lists, where)


def _combined(parts: Mapping[str, list[np.ndarray]], where: str) -> tuple[Split, ...]:
    """Ids of each split by part; a part that is there once belongs to every split."""
    counts = {part: len(ids) for part, ids in parts.items()}
    k = max(counts.values())
    if not set(counts.values()) <= {1, k}:
        found = ", ".join(f"{n} of {part}" for part, n in counts.items())
        raise InputError(f"{where}expected as many splits of every part, found {found}")
    tensors = {part: [torch.from_numpy(each) for each in ids] for part, ids in parts.items()}
    return tuple(Split(*(tensors[p][i if counts[p] > 1 else 0] for p in PARTS)) for i in range(k))


def _columns(mask: np.ndarray, num_nodes: int, where: str) -> np.ndarray:
    """bool `[N, k]`."""
    found = f"{mask.dtype} {list(mask.shape)}"
    columns = mask[:, None] if mask.ndim == 1 else mask
    if columns.ndim != 2 or len(columns) != num_nodes or not columns.size:
        expected = f"a mask [{num_nodes}], or [{num_nodes}, k] of k splits"
        raise InputError(f"{where}: expected {expected}, found {found}")
    wrong = ~np.isin(columns, (0, 1)) if mask.dtype.kind in "biuf" else np.ones_like(columns, bool)
    if wrong.any():
        value = columns[wrong][0]
        raise InputError(f"{where}: expected a mask of 0 and 1, found {value!s} in {found}")
    return columns.astype(bool)


def _lists(value: Any, num_nodes: int, where: str) -> list[np.ndarray]:
    """Ids of each split."""
    if not isinstance(value, list):
        raise InputError(f"{where}: expected a list of node ids, found {reprlib.repr(value)}")
    if not value or not all(isinstance(each, list) for each in value):
        return [_ids(value, num_nodes, where)]
    lengths = {len(row) for row in value}
    if len(value) == num_nodes and lengths != {num_nodes} and _is_mask(chain(*value), lengths):
        return [np.flatnonzero(column) for column in np.array(value).T]
    if len(value) == num_nodes and lengths == {num_nodes}:
        shape = [num_nodes, num_nodes]
        raise InputError(f"{where}: expected k lists, or N rows of k: {shape} may be either")
    return [_ids(each, num_nodes, f"{where}: split {k}") for k, each in enumerate(value)]


def _is_mask(values: Iterable[Any], lengths: set[int]) -> bool:
    return len(lengths) == 1 and all(isinstance(v, (int, float)) and v in (0, 1) for v in values)


def _ids(values: list[Any], num_nodes: int, where: str) -> np.ndarray:
    """Of a list of ids, or of a mask: N zeros and ones, which with N > 2 cannot be ids."""
    booleans = any(isinstance(value, bool) for value in values)
    if booleans and len(values) != num_nodes:
        found = f"{len(values)} of them"
        raise InputError(f"{where}: expected true or false for each of {num_nodes}, found {found}")
    if (booleans or len(values) == num_nodes > 2) and _is_mask(values, {num_nodes}):
        return np.flatnonzero(values)
    for i in values:
        if type(i) is not int or not 0 <= i < num_nodes:
            raise InputError(f"{where}: expected node ids 0 to {num_nodes - 1}, found {i!r}")
    return np.array(values, dtype=np.int64)
