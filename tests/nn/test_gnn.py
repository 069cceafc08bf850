"""What the teachers have in common."""

import pytest
import torch
from torch.nn.functional import layer_norm

from infgrand_dgl.features.sparse import SparseMatrix
from infgrand_dgl.graph.csr import CSRGraph
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


def by_hand(gnn, graph, x, norm, residual, jumping):
    """The equation of `GNN`, in evaluation mode."""
    outputs, last = [], len(gnn.layers) - 1
    for k, layer in enumerate(gnn.layers):
        h = layer(graph, x).flatten(1)
        if residual:
            h = h + x @ gnn.residuals[k].weight.T + gnn.residuals[k].bias
        if k < last or jumping != "none":
            if norm == "layer":
                h = layer_norm(h, h.shape[1:], gnn.norms[k].weight, gnn.norms[k].bias)
            elif norm == "batch":
                n = gnn.norms[k]
                h = (h - n.running_mean) / (n.running_var + n.eps).sqrt() * n.weight + n.bias
            h = h.relu()
        outputs.append(h)
        x = h
    if jumping == "none":
        return x
    stacked = torch.stack(outputs)
    x = stacked.sum(0) if jumping == "sum" else stacked.amax(0)
    return x @ gnn.head.weight.T + gnn.head.bias


@pytest.mark.parametrize("jumping", ["none", "sum", "max"])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("model", MODELS)
def test_around_the_convolutions(model, norm, residual, jumping):
    settings = {"norm": norm, "residual": residual}
    csr, gnn, x = setup(model, 3, jumping_knowledge=jumping, **settings)
    for parameter in gnn.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    gnn.train()(csr, x)  # running statistics
    gnn.eval()
    expected = by_hand(gnn, csr, x, norm, residual, jumping)
    assert expected.shape == (30, 3)
    torch.testing.assert_close(gnn(csr, x), expected, rtol=1e-5, atol=1e-5)
    gnn(csr, x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in gnn.parameters())


@pytest.mark.parametrize("model", MODELS)
def test_by_default_there_is_nothing_around(model):
    _, gnn, _ = setup(model)
    assert all(name.startswith("layers.") for name in gnn.state_dict())
    _, more, _ = setup(model, norm="layer", residual=True, jumping_knowledge="sum")
    extra = {name.split(".")[0] for name in more.state_dict()} - {"layers"}
    assert extra == {"norms", "residuals", "head"}


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("model", MODELS)
def test_input_dropout(model, kind):
    """Of features in training alone: fresh masks that keep their mean."""
    csr, gnn, _ = setup(model, input_dropout=0.25)
    seen = []
    for layer in gnn.layers[:1]:
        layer.register_forward_pre_hook(lambda _, given: seen.append(given[1]))
    x = torch.ones(30, 5)
    inputs = SparseMatrix.of(x) if kind == "sparse" else x
    assert gnn.constant(csr, inputs) is inputs
    for _ in range(200):
        gnn.train()(csr, inputs)
    values = [v.values if kind == "sparse" else v for v in seen]
    assert torch.stack(values).unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert not torch.equal(values[0], values[1])
    assert torch.stack(values).mean().item() == pytest.approx(1, abs=0.03)
    seen.clear()
    gnn.eval()(csr, inputs)
    assert seen == [inputs]


@pytest.mark.parametrize("in_features", [7, 40])
@pytest.mark.parametrize("model", ["gcn", "sage"])
def test_constant_features_beside_a_residual(model, in_features):
    """Aggregated once all the same, where the first layer aggregates first."""
    csr = random_undirected(50, 120)
    _, gnn = both(model, in_features, residual=True, norm="layer")
    x = torch.randn(50, in_features)
    constant = gnn.constant(csr, x)
    assert isinstance(constant, native.Aggregated) == (in_features == 7)
    assert torch.equal(gnn(csr, constant), gnn(csr, x))


def test_one_node_of_a_block_is_normalised_by_the_running_statistics():
    csr, gnn, x = setup("gcn", norm="batch")
    gnn.train()(csr, x)
    alone = CSRGraph(torch.tensor([0, 1]), torch.zeros(1, dtype=torch.int32), 1)
    before = {name: value.clone() for name, value in gnn.state_dict().items()}
    gnn.dropout.p = 0.0
    out = gnn([alone, alone], x[:1])
    assert all(map(torch.equal, before.values(), gnn.state_dict().values()))
    torch.testing.assert_close(out, gnn.eval()([alone, alone], x[:1]))
