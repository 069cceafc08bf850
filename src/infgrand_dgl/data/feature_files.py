"""Features in files: dense or sparse, .npy, .npz, text or Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..errors import InputError
from ..features.convert import check_numbers
from ..system.arrays import load_array
from ..system.reading import reading
from .node_tables import features_of
from .npz import keys_of, read_matrix, read_npz
from .tables import read_table
from .text_tables import IDS

DENSE = ("features", "x", "feat", "node_feat", "attr", "arr_0")  # names in a .npz


def read_features(path: Path) -> tuple[np.ndarray | sp.csr_matrix, np.ndarray | None]:
    """`[N, D]`, and the ids of its rows where the file has a column of them.

    Raises:
        InputError: unreadable, or no numbers `[N, D]`.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file")
    ids = None
    if path.suffix.lower() == ".npy":
        values: Any = load_array(path)
    elif path.suffix.lower() == ".npz":
        with reading(path, "a readable .npz of features"):
            values = _npz(path)
    else:
        values, ids = features_of(read_table(path, IDS))
    return check_features(values, str(path)), ids


def check_features(values: Any, where: str) -> np.ndarray | sp.csr_matrix:
    """The features, dense or sparse.

    Raises:
        InputError: no numbers `[N, D]`.
    """
    check_numbers(values, where)
    return sp.csr_matrix(values) if sp.issparse(values) else values


def _npz(path: Path) -> Any:
    keys = keys_of(path)
    if "format" in keys:
        return read_matrix(path)
    chosen = [key for key in DENSE if key in keys] or (keys if len(keys) == 1 else [])
    if not chosen:
        raise InputError(
            f"{path}: expected a matrix of scipy.sparse.save_npz, or one array; "
            f"found {', '.join(keys) or 'no archive'}"
        )
    return read_npz(path, chosen[:1])[chosen[0]]
