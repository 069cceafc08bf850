"""Our layers beside DGL's: outputs, gradients, and products in bfloat16."""

from typing import Any

import pytest
import torch

from infgrand_dgl.features.matrix import FeatureMatrix
from infgrand_dgl.features.sparse import SparseMatrix
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.graph.dgl_bridge import dgl
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training.sampling import Neighborhoods
from tests.conftest import random_undirected
from tests.nn.models import AROUND, both

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
@pytest.mark.parametrize("around", AROUND)
def test_backends_agree_on_a_full_graph(around, model, in_features, device):
    csr = random_undirected(50, 120)
    one, other = both(model, in_features, device=device, **around)
    x = torch.randn(50, in_features)
    inputs = x, x.to(device)
    assert_equal(one, other, (csr.to_dgl(), csr.to(device)), inputs)


@pytest.mark.parametrize("in_features", [7, 40])
@pytest.mark.parametrize("model", MODELS)
def test_backends_agree_on_directed_graphs(model, in_features):
    """Rows and columns of other lengths; a DGLGraph on the native backend."""
    graph = dgl.add_self_loop(dgl.rand_graph(50, 300))
    x = torch.randn(50, in_features)
    one, other = both(model, in_features)
    inputs = x, x
    assert_equal(one, other, (graph, graph), inputs)


@pytest.mark.parametrize("in_features", [7, 40])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("around", AROUND)
def test_backends_agree_on_sampled_blocks(around, model, in_features, device):
    graph = random_undirected(200, 900).to_dgl()
    sampler = dgl.dataloading.NeighborSampler([4, 3, 2])
    sources, _, blocks = sampler.sample_blocks(graph, torch.randperm(200)[:20])
    x = torch.randn(len(sources), in_features)
    one, other = both(model, in_features, device=device, **around)
    inputs = x, x.to(device)
    moved = [CSRGraph.from_dgl(block).to(device) for block in blocks]
    assert_equal(one, other, (blocks, moved), inputs)


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
