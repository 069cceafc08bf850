"""Feature matrices: sparse where that is smaller and faster, dense otherwise."""

import warnings

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

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


def row_normalized(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Rows that sum to 1; a zero row stays zero."""
    sums = np.asarray(matrix.sum(axis=1)).ravel()
    inverse = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums != 0)
    return (sp.diags(inverse) @ matrix).tocsr()
