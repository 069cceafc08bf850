import numpy as np
import pytest
import scipy.sparse as sp
import torch

from infgrand_dgl.features.convert import (
    STORED_SPARSE_BELOW,
    check_indices,
    from_scipy,
    row_normalized,
)


@pytest.mark.parametrize(("factor", "sparse"), [(0.5, True), (2, False)])
def test_density_chooses_how_it_is_stored(factor, sparse):
    dense = np.random.rand(200, 100) * (np.random.rand(200, 100) < factor * STORED_SPARSE_BELOW)
    x = from_scipy(sp.csr_matrix(dense))
    assert (x.layout == torch.sparse_csr) == sparse and x.dtype == torch.float32
    stored = x.to_dense() if sparse else x
    assert torch.equal(stored, torch.from_numpy(dense.astype(np.float32)))


def test_duplicates_are_summed_and_zeros_dropped():
    values, rows, columns = [1.0, 2.0, 0.0, 5.0], [0, 0, 1, 2], [3, 3, 4, 19]
    stored = sp.csr_matrix((values, columns, [0, 2, 3, 4]), shape=(3, 20))
    assert stored.nnz == 4
    x = from_scipy(stored)
    assert x.values().tolist() == [3.0, 5.0] and x.col_indices().tolist() == [3, 19]
    expected = torch.zeros(3, 20).index_put_(
        (torch.tensor(rows), torch.tensor(columns)), torch.tensor(values), accumulate=True
    )
    assert torch.equal(x.to_dense(), expected)


def test_rows_sum_to_one_or_stay_zero():
    dense = np.array([[1.0, 3.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 5.0]])
    normalized = row_normalized(sp.csr_matrix(dense)).toarray()
    assert normalized.tolist() == [[0.25, 0.75, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize(
    ("indptr", "indices"),
    [
        ([0, 7, 0], [0, 1]),  # SciPy's own check stops where the last is 0
        ([0, 2, 1, 2], [0, 1]),
        ([0, 1, 2], [0, 9]),
        ([0, 1, 2], [0, -1]),
    ],
)
def test_indices_that_are_no_matrix(indptr, indices):
    matrix = sp.csr_matrix((len(indptr) - 1, 3))
    matrix.indptr, matrix.indices = np.array(indptr, np.int32), np.array(indices, np.int32)
    matrix.data = np.ones(len(indices))
    with pytest.raises(ValueError):
        check_indices(matrix)
    check_indices(sp.random(5, 4, 0.5, format="csr"))
