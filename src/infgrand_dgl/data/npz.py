"""Archives of arrays (.npz), read without pickle."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ..errors import InputError
from ..features.convert import check_indices


def keys_of(path: Path) -> list[str]:
    """The arrays' names; none where it is no .npz."""
    if path.suffix.lower() != ".npz" or not path.is_file():
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return []


def read_matrix(path: Path) -> sp.csr_matrix:
    """What `scipy.sparse.save_npz` wrote."""
    matrix = sp.load_npz(path)
    if matrix.format in ("csr", "csc", "bsr"):  # before SciPy follows its indices
        check_indices(matrix)
    return sp.csr_matrix(matrix)


def read_npz(path: Path, keys: Iterable[str]) -> dict[str, np.ndarray]:
    """The arrays of these names.

    Raises:
        InputError: one is missing, or holds Python objects.
    """
    arrays = {}
    with np.load(path, allow_pickle=False) as archive:
        for key in keys:
            if key not in archive:
                raise InputError(f"{path}: expected an array {key}, found {', '.join(archive)}")
            arrays[key] = archive[key]
    return arrays
