"""Our layers beside DGL's: outputs, gradients, and products in bfloat16."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from infgrand_dgl.features.matrix import FeatureMatrix
from infgrand_dgl.features.sparse import SparseMatrix
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.graph.dgl_bridge import dgl
from infgrand_dgl.nn.gnn import convolution
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training.sampling import Neighborhoods
from tests.conftest import dense_adjacency, random_undirected
from tests.nn.models import AROUND, BACKENDS, both

MODELS = ["gcn", "gat", "sage"]


def assert_equal(one, other, graphs, inputs):
    """Outputs and gradients of parameters and inputs: to 1e-5 of the largest in float32, where
    single ones cancel, and to 1e-9 in float64."""
    for dtype, bound in ((torch.float32, 1e-5), (torch.float64, 1e-9)):
        found = []
        for teacher, graph, x in zip((one, other), graphs, inputs, strict=True):
            teacher.zero_grad()
            x = x.to(dtype=dtype) if isinstance(x, SparseMatrix) else x.to(dtype, copy=True)
            if isinstance(x, torch.Tensor):
                x.requires_grad_()
            out = teacher.to(dtype)(graph, x)
            torch.manual_seed(5)
            (out * torch.randn(out.shape).to(out)).sum().backward()
            slopes = {name: p.grad for name, p in teacher.named_parameters()}
            if isinstance(x, torch.Tensor):
                slopes["x"] = x.grad
            found.append((out.detach(), slopes))
        (expected, slopes), (given, others) = found
        torch.testing.assert_close(
            given.cpu(), expected, rtol=0, atol=bound * float(expected.abs().max())
        )
        largest = max(float(slope.abs().max()) for slope in slopes.values())
        for name in others:
            difference = (others[name].cpu() - slopes[name]).abs().max()
            assert float(difference) <= bound * largest, name


@pytest.mark.parametrize("in_features", [7, 40])  # aggregated before and after the product with W
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("around", AROUND)
def test_backends_agree_on_a_full_graph(around, weighted, model, in_features, device):
    csr = random_undirected(50, 120, weighted=weighted)
    one, other = both(model, in_features, device=device, **around)
    x = torch.randn(50, in_features)
    inputs = x, x.to(device)
    assert_equal(one, other, (csr.to_dgl(), csr.to(device)), inputs)


@pytest.mark.parametrize("in_features", [7, 40])
@pytest.mark.parametrize("weights", [None, "weight", "w"])
@pytest.mark.parametrize("model", MODELS)
def test_backends_agree_on_directed_graphs(model, weights, in_features):
    """Rows and columns of other lengths; a DGLGraph on the native backend."""
    graph = dgl.add_self_loop(dgl.rand_graph(50, 300))
    if weights:
        graph.edata[weights] = torch.rand(graph.num_edges()) + 0.1
    x = torch.randn(50, in_features)
    one, other = both(model, in_features)
    inputs = x, x
    assert_equal(one, other, (graph, graph), inputs)


@pytest.mark.parametrize("in_features", [7, 40])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("around", AROUND)
def test_backends_agree_on_sampled_blocks(around, weighted, model, in_features, device):
    graph = random_undirected(200, 900, weighted=weighted).to_dgl()
    sampler = dgl.dataloading.NeighborSampler([4, 3, 2])
    sources, _, blocks = sampler.sample_blocks(graph, torch.randperm(200)[:20])
    for block in blocks if weighted else []:
        block.edata["weight"] = graph.edata["weight"][block.edata[dgl.EID]]
    x = torch.randn(len(sources), in_features)
    one, other = both(model, in_features, device=device, **around)
    inputs = x, x.to(device)
    moved = [CSRGraph.from_dgl(block).to(device) for block in blocks]
    assert_equal(one, other, (blocks, moved), inputs)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("in_features", [7, 40])
def test_weighted_layers_are_their_equations(in_features, backend, device):
    csr, x = random_undirected(50, 120, weighted=True), torch.randn(50, in_features)
    assert csr.weights is not None
    A, graph = dense_adjacency(csr), csr.to_dgl() if backend == "dgl" else csr.to(device)
    where = "cpu" if backend == "dgl" else device
    conv: Any = convolution("GraphConv", backend)(in_features, 16, norm="both").to(where).double()
    d = A.sum(1)
    expected = A / (d[:, None] * d).sqrt() @ x.double() @ conv.weight.cpu() + conv.bias.cpu()
    torch.testing.assert_close(conv(graph, x.double().to(where)).cpu(), expected)
    conv = convolution("SAGEConv", backend)(in_features, 16, aggregator_type="gcn")
    conv = conv.to(where).double()
    mean = (A @ x.double() + x.double()) / (d[:, None] + 1)
    expected = mean @ conv.fc_neigh.weight.T.cpu() + conv.bias.cpu()
    torch.testing.assert_close(conv(graph, x.double().to(where)).cpu(), expected)


@pytest.mark.parametrize("model", MODELS)
def test_weights_of_1_give_the_same_bits(model, device):
    csr, x = random_undirected(50, 120, device), torch.randn(50, 7, device=device)
    ones = replace(csr, weights=torch.ones(csr.num_edges, device=device))
    _, gnn = both(model, 7, device=device)
    assert torch.equal(gnn(csr, x), gnn(ones, x))


def test_gat_reads_no_weights(device):
    csr, x = random_undirected(50, 120, device, weighted=True), torch.randn(50, 7, device=device)
    _, gnn = both("gat", 7, device=device)
    assert torch.equal(gnn(csr, x), gnn(replace(csr, weights=None), x))


@pytest.mark.parametrize("model", ["gcn", "sage"])
def test_weighted_logits_move_with_the_numbers_of_nodes(model, device):
    source, target = np.random.randint(0, 30, size=(2, 90))
    weights, order = np.random.uniform(0.1, 3, 90), torch.randperm(30)
    csr = CSRGraph.from_edges(source, target, 30, weights).to(device)
    p = order.numpy()
    moved = CSRGraph.from_edges(p[source], p[target], 30, weights).to(device)
    x = torch.randn(30, 7, device=device)
    _, gnn = both(model, 7, device=device)
    there = torch.empty_like(x)
    there[order.to(device)] = x
    torch.testing.assert_close(gnn(moved, there)[order.to(device)], gnn(csr, x))


@pytest.mark.parametrize("in_features", [7, 40])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("around", AROUND)
def test_sparse_inputs(around, model, in_features, device):
    csr = random_undirected(50, 120)
    x = torch.randn(50, in_features) * (torch.rand(50, in_features) < 0.1)
    one, other = both(model, in_features, device=device, **around)
    inputs = x, SparseMatrix.of(x).to(device)
    assert_equal(one, other, (csr.to_dgl(), csr.to(device)), inputs)


@pytest.mark.parametrize("kind", ["dense", "sparse", "constant", "blocks"])
@pytest.mark.parametrize("in_features", [7, 40])
@pytest.mark.parametrize("model", MODELS)
def test_bfloat16_is_close_to_float32(model, in_features, kind, device):
    """Under autocast: products and hidden layers, but not GAT's, whose op does not take it."""
    csr, features = random_undirected(200, 900), torch.randn(200, in_features)
    _, gnn = both(model, in_features, device=device)
    graph: Any = csr.to(device)
    x: Any = features.to(device)
    if kind == "sparse":
        x = SparseMatrix.of(x * (torch.rand(200, in_features) < 0.1).to(device))
    elif kind == "constant":
        x = gnn.constant(graph, x)
    elif kind == "blocks":
        sampler = Neighborhoods(csr, FeatureMatrix(features), [4, 3, 2], Runtime.on(device))
        _, graph, x = next(sampler.batches(torch.randperm(200), 200, 0))
    found = []
    for reduced in (False, True):
        with torch.autocast(device, torch.bfloat16, enabled=reduced):
            hidden = gnn.layer(0, graph[0] if kind == "blocks" else graph, x)
            out = gnn(graph, x)
        wide = model == "gat" or (kind == "sparse" or not reduced)
        assert hidden.dtype == (torch.float32 if wide else torch.bfloat16)
        loss = out.float().square().mean()
        slopes = torch.autograd.grad(loss, list(gnn.parameters()))
        assert {slope.dtype for slope in slopes} == {torch.float32}
        found.append((out.detach().float(), torch.cat([slope.flatten() for slope in slopes])))
    for one, other in zip(*found, strict=True):
        assert float((one - other).norm()) <= 0.2 * float(one.norm())
