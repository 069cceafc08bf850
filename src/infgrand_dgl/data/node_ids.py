"""Ids that nodes have where a graph came from, where these are not their rows."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..system.arrays import load_array

FILE = "ids.npy"


def read_ids(path: Path, num_nodes: int) -> np.ndarray | None:
    """Integers or text `[N]`; None: there is no such file, or they are the rows.

    Raises:
        InputError: something else, or a node's id that is another's too.
    """
    if not path.exists():
        return None
    ids = load_array(path)
    if list(ids.shape) != [num_nodes] or ids.dtype.kind not in "iuU":
        expected, found = f"integers or text [{num_nodes}]", f"{ids.dtype} {list(ids.shape)}"
        raise InputError(f"{path}: expected {expected}, an id of each node, found {found}")
    if ids.dtype.kind != "U" and np.array_equal(ids, np.arange(num_nodes)):
        return None
    if (twice := Places(ids).twice) is not None:
        raise InputError(f"{path}: expected each id once, found {twice!r} twice")
    return ids


class Places:
    """Which row an id is in.

    Args:
        ids: integers or text `[N]`.
    """

    def __init__(self, ids: np.ndarray) -> None:
        self.ids = ids

    @property
    def are_text(self) -> bool:
        return self.ids.dtype.kind == "U"

    @cached_property
    def _order(self) -> np.ndarray:
        return self.ids.argsort(kind="stable")

    @cached_property
    def _sorted(self) -> np.ndarray:
        return self.ids[self._order]

    @property
    def twice(self) -> str | int | None:
        """An id of two nodes."""
        same = self._sorted[1:] == self._sorted[:-1]
        return self._sorted[1:][same][0].item() if same.any() else None

    def rows(self, wanted: np.ndarray) -> np.ndarray:
        """int64 `[n]`; -1: an id of no node.

        Args:
            wanted: as the ids are, `[n]`.
        """
        place = np.searchsorted(self._sorted, wanted).clip(max=len(self.ids) - 1)
        return np.where(self._sorted[place] == wanted, self._order[place], -1)


def as_numbers(ids: np.ndarray) -> Tensor:
    """Integers as int64 `[N]`, text as the bytes of its UTF-8, `[N, width]`."""
    if ids.dtype.kind != "U":
        return torch.from_numpy(ids.astype(np.int64))
    encoded = np.char.encode(ids, "utf-8")
    return torch.from_numpy(encoded.view(np.uint8).reshape(len(ids), -1))


def from_numbers(stored: Tensor) -> np.ndarray:
    """What `as_numbers` was given."""
    values = stored.numpy()
    if values.ndim == 1:
        return values
    width = values.shape[1]
    return np.char.decode(np.ascontiguousarray(values).view(f"S{width}").ravel(), "utf-8")
