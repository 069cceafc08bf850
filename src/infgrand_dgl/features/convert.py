"""Feature matrices: sparse where that is smaller and faster, dense otherwise."""

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from ..errors import InputError
from ..graph.weights import as_array

# The density above which a stored CSR matrix is no faster than a dense one, though smaller up to
# one half. Which of the two a first layer takes is decided anew (`features.sparse`).
STORED_SPARSE_BELOW = 0.1


def from_scipy(matrix: sp.csr_matrix) -> Tensor:
    """float32 `[N, D]`: sparse CSR below the density `STORED_SPARSE_BELOW`, dense otherwise."""
    matrix = matrix.astype(np.float32)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    if matrix.nnz >= STORED_SPARSE_BELOW * np.prod(matrix.shape):
        return torch.from_numpy(matrix.toarray())
    indptr, indices, values = map(torch.from_numpy, (matrix.indptr, matrix.indices, matrix.data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "CSR support is in beta state"
        return torch.sparse_csr_tensor(indptr, indices, values, size=matrix.shape)


def check_indices(matrix: sp.csr_matrix) -> None:
    """Of a compressed matrix that somebody else wrote: SciPy follows any indices, even outside it.

    Raises:
        ValueError: its pointers or indices are no matrix's.
    """
    if (np.diff(matrix.indptr) < 0).any():  # which check_format leaves out where the last is 0
        raise ValueError("row pointers that fall")
    matrix.check_format()


def normalized_rows(x: Tensor) -> Tensor:
    """Rows that sum to 1, of a dense matrix; one that sums to 0 stays as it is."""
    sums = x.sum(dim=1, keepdim=True)
    return torch.where(sums == 0, x, x / sums)


def row_normalized(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """The same of a sparse matrix."""
    sums = np.asarray(matrix.sum(axis=1)).ravel()
    inverse = np.divide(1.0, sums, out=np.ones_like(sums), where=sums != 0)
    return (sp.diags(inverse) @ matrix).tocsr()


def given_features(values: Any) -> Tensor:
    """A tensor `[N, D]` as it is, anything else by `as_features`."""
    if not isinstance(values, Tensor):
        return as_features(values)
    if values.ndim != 2 or 0 in values.shape:
        found = list(values.shape)
        raise InputError(f"features: expected shape [N, D], N and D at least 1, found {found}")
    return values


def as_features(values: Any, where: str = "features") -> Tensor:
    """float32 `[N, D]`, dense or sparse CSR: of a tensor, an array, or a sparse matrix of SciPy or
    torch.

    Args:
        where: begins messages.

    Raises:
        InputError: no numbers `[N, D]`, or some beyond float32.
    """
    if isinstance(values, Tensor) and values.layout != torch.strided:
        coo = values.detach().cpu().to_sparse_coo().coalesce()
        if coo.ndim != 2 or coo.dense_dim():
            raise InputError(f"{where}: expected shape [N, D], found {list(coo.shape)}")
        values = sp.coo_matrix((as_array(coo.values()), coo.indices().numpy()), coo.shape)
    elif isinstance(values, Tensor):
        values = as_array(values)
    elif not sp.issparse(values):
        try:
            values = np.asarray(values)
        except ValueError:
            expected = "expected numbers [N, D], found rows of several lengths"
            raise InputError(f"{where}: {expected}") from None
    check_numbers(values, where)
    try:
        with np.errstate(over="raise"):
            if sp.issparse(values):
                return from_scipy(sp.csr_matrix(values))
            dense = np.ascontiguousarray(values, dtype=np.float32)
            with warnings.catch_warnings():  # pandas gives arrays to read alone: none is written to
                warnings.simplefilter("ignore", UserWarning)
                return torch.from_numpy(dense)
    except FloatingPointError:
        large = (abs(values) > np.finfo(np.float32).max).nonzero()[0]
        raise InputError(
            f"{where}: expected numbers within float32, found an overflow in row {large[0]}"
        ) from None


def check_numbers(values: Any, where: str) -> None:
    """
    Args:
        values: an array, or a sparse matrix of SciPy.

    Raises:
        InputError: they are no numbers `[N, D]`.
    """
    numbers = values.data if sp.issparse(values) else values
    if values.ndim != 2 or 0 in values.shape or numbers.dtype.kind not in "fiub":
        raise InputError(
            f"{where}: expected numbers [N, D], N and D at least 1, found {numbers.dtype} "
            f"{list(values.shape)}"
        )
