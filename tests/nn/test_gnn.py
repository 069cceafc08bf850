"""What the teachers have in common."""

import pytest
import torch

from infgrand_dgl.features.sparse import SparseMatrix
from infgrand_dgl.nn import native
from infgrand_dgl.ops import spmm
from tests.conftest import random_undirected
from tests.nn.models import BACKENDS, both, setup

MODELS = ["gcn", "gat", "sage"]


@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_depth_and_gradients(backend, model, layers):
    csr, teacher, x = setup(model, layers, backend=backend)
    out = teacher.train()(csr.to_dgl(), x)
    assert out.shape == (30, 3) and len(teacher.layers) == layers
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in teacher.parameters())


@pytest.mark.parametrize("in_features", [7, 16, 40])
@pytest.mark.parametrize("model", MODELS)
def test_constant_features_are_aggregated_once(model, in_features, device, monkeypatch):
    """Where the first layer aggregates first; the result is the same, to the bit on the CPU."""
    csr = random_undirected(50, 120, device)
    _, gnn = both(model, in_features, device=device)
    x, widths = torch.randn(50, in_features, device=device), []

    def noted(graph, h, *scales):
        widths.append(h.shape[1])
        return spmm(graph, h, *scales)

    monkeypatch.setattr(native, "spmm", noted)
    constant = gnn.constant(csr, x)
    once = model != "gat" and in_features <= 16
    assert widths == [in_features] * once and (constant is x) != once
    expected = torch.autograd.grad(gnn(csr, x).square().sum(), list(gnn.parameters()))
    widths.clear()
    for _ in range(3):
        out = gnn(csr, constant)
        slopes = torch.autograd.grad(out.square().sum(), list(gnn.parameters()))
        same = torch.equal if device == "cpu" else torch.allclose
        assert same(out, gnn(csr, x)) and all(map(same, slopes, expected))
    counts = {"gat": 0, "gcn": 3, "sage": 3}
    assert len(widths) == 3 * (2 * counts[model] - once)
    inputs = SparseMatrix.of(x)
    assert gnn.constant(csr, inputs) is inputs
