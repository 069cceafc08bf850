"""Ids that nodes have where a graph came from, where these are not their rows."""

from __future__ import annotations

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
    import pandas as pd  # where there are some

    ids = load_array(path)
    if list(ids.shape) != [num_nodes] or ids.dtype.kind not in "iuU":
        expected, found = f"integers or text [{num_nodes}]", f"{ids.dtype} {list(ids.shape)}"
        raise InputError(f"{path}: expected {expected}, an id of each node, found {found}")
    if ids.dtype.kind != "U" and np.array_equal(ids, np.arange(num_nodes)):
        return None
    if ids.dtype.kind == "u" and int(ids.max()) > np.iinfo(np.int64).max:
        raise InputError(f"{path}: expected ids below 2^63, or text, found {ids.max()}")
    again = pd.Index(ids).duplicated()
    if again.any():
        raise InputError(f"{path}: expected each id once, found {ids[again][0].item()!r} twice")
    return ids


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
