import pytest
import torch

from infgrand_dgl.features.sparse import SparseMatrix
from infgrand_dgl.nn.mlp import MLP


@pytest.mark.parametrize("layers", [1, 3])
def test_mlp_takes_sparse_inputs(layers, device):
    mlp = MLP(30, 9, 4, layers=layers).to(device)
    x = (torch.randn(20, 30) * (torch.rand(20, 30) < 0.1)).to(device)
    found = []
    for h in (x, SparseMatrix.of(x)):
        out = mlp(h)
        found.append(
            [out.detach(), *(torch.autograd.grad(out.square().sum(), list(mlp.parameters())))]
        )
    for dense, sparse in zip(*found, strict=True):
        torch.testing.assert_close(sparse, dense)


def standardized(h, dim):
    """Mean 0 and variance 1: over the nodes (batch norm) or within each node (layer norm)."""
    return (h - h.mean(dim, keepdim=True)) / (h.var(dim, correction=0, keepdim=True) + 1e-5).sqrt()


@pytest.mark.parametrize(
    ("norm", "normalized"),
    [
        ("none", lambda h: h),
        ("batch", lambda h: standardized(h, 0)),
        ("layer", lambda h: standardized(h, 1)),
    ],
    ids=["none", "batch", "layer"],
)
@pytest.mark.parametrize("layers", [1, 2, 4])
def test_mlp_is_its_equation(layers, norm, normalized, device):
    mlp = MLP(6, 9, 4, layers=layers, norm=norm).to(device).double().train()
    x = torch.randn(20, 6, device=device, dtype=torch.float64)
    *inner, last = mlp.layers
    h = x
    for linear in inner:
        h = normalized(linear(h)).relu()
    torch.testing.assert_close(mlp(x), last(h))
    assert len(mlp.layers) == layers


def test_mlp_drops_in_training_alone():
    mlp, x = MLP(6, 9, 4, layers=2, dropout=0.3), torch.randn(20, 6)
    assert not torch.equal(mlp.train()(x), mlp(x))
    assert torch.equal(mlp.eval()(x), mlp(x))
