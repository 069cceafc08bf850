import pytest
import torch

from infgrand_dgl.features.sparse import SPARSE_PRODUCT_BELOW, SparseMatrix, first_layer_input
from infgrand_dgl.nn.dropout import dropout

CPU = torch.device("cpu")


def bag_of_words(rows, cols, density):
    x = torch.rand(rows, cols) * (torch.rand(rows, cols) < density)
    x[rows // 2] = 0
    return x


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_product_and_gradient(dtype, device):
    x = bag_of_words(40, 30, 0.2).to(device, dtype)
    W = torch.randn(30, 7, device=device, dtype=dtype, requires_grad=True)
    G = torch.randn(40, 7, device=device, dtype=dtype)
    sparse = SparseMatrix.of(x)
    assert sparse.shape == (40, 30) and len(sparse.values) == int(x.count_nonzero())
    torch.testing.assert_close(sparse @ W, x @ W)
    (slope,) = torch.autograd.grad(sparse @ W, W, G)
    torch.testing.assert_close(slope, x.T @ G)
    other = SparseMatrix.of(x.to_sparse_csr())
    assert torch.equal(other @ W, sparse @ W)


def test_rows_in_any_order(device):
    x, W = bag_of_words(40, 30, 0.2).to(device), torch.randn(30, 7, device=device)
    rows = torch.randint(40, (60,), device=device)
    torch.testing.assert_close(SparseMatrix.of(x)[rows] @ W, x[rows] @ W)
    assert SparseMatrix.of(x)[rows[:0]].shape == (0, 30)


def test_dropout():
    sparse = SparseMatrix.of(bag_of_words(200, 300, 0.2))
    assert torch.equal(dropout(sparse.values, 0.4, False), sparse.values)
    dropped = sparse.with_values(dropout(sparse.values, 0.4, True))
    kept = dropped.values != 0
    assert 0.55 < float(kept.double().mean()) < 0.65
    torch.testing.assert_close(dropped.values[kept], sparse.values[kept] / 0.6, rtol=1e-4, atol=0)
    # The gradient sees the same mask.
    W = torch.zeros(300, 2, requires_grad=True)
    (slope,) = torch.autograd.grad((dropped @ W).sum(), W)
    sums = torch.zeros(300).index_add_(0, sparse.pattern.indices.long(), dropped.values)
    torch.testing.assert_close(slope, sums[:, None].expand(300, 2))


@pytest.mark.parametrize("layout", [torch.strided, torch.sparse_csr])
def test_density_chooses(layout):
    for factor, expected in ((0.5, SparseMatrix), (2, torch.Tensor)):
        x = bag_of_words(300, 400, factor * SPARSE_PRODUCT_BELOW["cpu"])
        given = x if layout == torch.strided else x.to_sparse_csr()
        assert isinstance(first_layer_input(given, CPU, "auto"), expected)
        dense = first_layer_input(given, CPU, "dense")
        assert isinstance(dense, torch.Tensor) and torch.equal(dense, x)
        assert isinstance(first_layer_input(given, CPU, "sparse"), SparseMatrix)
