"""Feature matrices: sparse where that is smaller and faster, dense otherwise."""

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from ..errors import InputError

# The density above which a stored CSR matrix is no faster than a dense one, though smaller up to
# one half. Which of the two a first layer takes is decided anew (`features.sparse`).
STORED_SPARSE_BELOW = 0.1
LARGEST = float(np.finfo(np.float32).max)


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


def row_normalized(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Rows that sum to 1; a zero row stays zero."""
    sums = np.asarray(matrix.sum(axis=1)).ravel()
    inverse = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums != 0)
    return (sp.diags(inverse) @ matrix).tocsr()


def as_features(values: Any) -> Tensor:
    """float32 `[N, D]`, dense or sparse CSR: of a tensor, an array, or a sparse matrix of SciPy or
    torch.

    Raises:
        InputError: no numbers `[N, D]`, or some beyond float32.
    """
    if isinstance(values, Tensor) and values.layout != torch.strided:
        coo = values.detach().cpu().to_sparse_coo().coalesce()
        if coo.ndim != 2 or coo.dense_dim():
            raise InputError(f"features: expected shape [N, D], found {list(coo.shape)}")
        values = sp.coo_matrix((coo.values().numpy(), coo.indices().numpy()), coo.shape)
    if sp.issparse(values):
        _check_numbers(values.data, values.shape)
        return from_scipy(sp.csr_matrix(values))
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    array = np.asarray(values)
    _check_numbers(array, array.shape)
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _check_numbers(values: np.ndarray, shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or 0 in shape or values.dtype.kind not in "fiub":
        raise InputError(
            f"features: expected numbers [N, D], N and D at least 1, found {values.dtype} "
            f"{list(shape)}"
        )
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if len(finite) and max(abs(float(finite.max())), abs(float(finite.min()))) > LARGEST:
        raise InputError("features: expected numbers within float32, found an overflow")
