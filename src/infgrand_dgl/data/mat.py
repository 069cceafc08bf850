"""MATLAB's .mat, read in a process of its own: SciPy's reader crashes on some damaged files."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.io import loadmat

from ..errors import InputError
from ..system.reading import reading, reason

SPARSE = (".data", ".indices", ".indptr", ".shape")  # of a sparse variable, in the archive


def read_mat(path: Path) -> dict[str, Any]:
    """The variables that are arrays, SciPy matrices, or text `[R]` of cells.

    Raises:
        InputError: no file that SciPy reads.
    """
    with tempfile.TemporaryDirectory(prefix="infgrand-dgl-") as folder:
        archive = Path(folder) / "variables.npz"
        command = [sys.executable, "-m", __name__, str(path.absolute()), str(archive)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            told = done.stdout.strip() or "it ends SciPy's reader"
            raise InputError(f"{path}: not a readable .mat file ({told})")
        with reading(path, "a readable .mat file"), np.load(archive) as arrays:
            return _joined(dict(arrays))


def _joined(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    from ..features.convert import check_indices  # and torch, which that process needs not

    names = {name.removesuffix(".indptr") for name in arrays if name.endswith(".indptr")}
    variables: dict[str, Any] = {name: a for name, a in arrays.items() if not name.endswith(SPARSE)}
    for name in names:
        data, indices, indptr, shape = (arrays[name + part] for part in SPARSE)
        matrix = sp.csc_matrix((data, indices, indptr), shape=tuple(shape.tolist()))
        check_indices(matrix)
        variables[name] = matrix
    return variables


def _write(path: str, archive: str) -> None:
    arrays: dict[str, np.ndarray] = {}
    for name, value in loadmat(path).items():
        if name.startswith("__"):
            continue
        if sp.issparse(value):
            parts = (value.data, value.indices, value.indptr, np.array(value.shape))
            arrays |= {name + ending: part for ending, part in zip(SPARSE, parts, strict=True)}
        elif value.dtype.hasobject and value.dtype.names is None:
            cells = [np.asarray(cell).squeeze() for cell in value.ravel()]
            arrays[name] = np.array([str(cell) for cell in cells])
        elif value.dtype.kind in "biufUS":
            arrays[name] = value
    with open(archive, "wb") as file:  # noqa: PTH123
        np.savez(file, **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    try:
        _write(*sys.argv[1:])
    except NotImplementedError:  # HDF5
        print("version 7.3 is not supported; save it with -v7 in MATLAB")
        sys.exit(1)
    except Exception as error:
        print(reason(error))
        sys.exit(1)
