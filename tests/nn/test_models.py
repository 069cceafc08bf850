from typing import Any, get_args

import pytest
import torch

from infgrand_dgl.config.schema import TeacherConfig
from infgrand_dgl.features.matrix import FeatureMatrix
from infgrand_dgl.features.sparse import SparseMatrix
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.graph.dgl_bridge import dgl
from infgrand_dgl.nn import native
from infgrand_dgl.nn.dropout import dropout
from infgrand_dgl.nn.gnn import Backend
from infgrand_dgl.nn.mlp import MLP
from infgrand_dgl.ops import spmm
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training.sampling import Neighborhoods
from infgrand_dgl.training.teacher import build_teacher
from tests.conftest import dense_adjacency, random_undirected

MODELS = ["gcn", "gat", "sage"]
BACKENDS = get_args(Backend)


def setup(model, layers=2, **options):
    csr = random_undirected(30, 60)
    config = TeacherConfig(model=model, layers=layers, hidden=8, dropout=0.4, heads=2, **options)
    return csr, build_teacher(config, 5, 3).eval(), torch.randn(30, 5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gcn_is_its_equation(backend):
    csr, gcn, x = setup("gcn", backend=backend)
    A = dense_adjacency(csr).float()
    s = A.sum(1).rsqrt()
    A = s[:, None] * A * s
    one, two = gcn.layers
    hidden = (A @ x @ one.weight + one.bias).relu()
    torch.testing.assert_close(gcn(csr.to_dgl(), x), A @ hidden @ two.weight + two.bias)


@pytest.mark.parametrize("backend", BACKENDS)
def test_sage_is_its_equation(backend):
    csr, sage, x = setup("sage", backend=backend)
    A = dense_adjacency(csr).float() + torch.eye(30)  # the node itself once more
    A = A / A.sum(1, keepdim=True)
    one, two = sage.layers
    hidden = (A @ x @ one.fc_neigh.weight.T + one.bias).relu()
    expected = A @ hidden @ two.fc_neigh.weight.T + two.bias
    torch.testing.assert_close(sage(csr.to_dgl(), x), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gat_is_its_equation(backend):
    csr, gat, x = setup("gat", backend=backend)
    A = dense_adjacency(csr).bool()

    def layer(conv, h, heads, width):
        w = conv.fc(h).view(30, heads, width)
        left, right = (w * conv.attn_l).sum(-1), (w * conv.attn_r).sum(-1)  # source, destination
        scores = torch.nn.functional.leaky_relu(left[None] + right[:, None], 0.2)
        alpha = scores.masked_fill(~A[:, :, None], -torch.inf).softmax(dim=1)
        return torch.einsum("ijk,jkd->ikd", alpha, w) + conv.bias.view(heads, width)

    hidden = layer(gat.layers[0], x, 2, 4).flatten(1).relu()
    expected = layer(gat.layers[1], hidden, 1, 3).squeeze(1)
    torch.testing.assert_close(gat(csr.to_dgl(), x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_depth_and_gradients(backend, model, layers):
    csr, teacher, x = setup(model, layers, backend=backend)
    out = teacher.train()(csr.to_dgl(), x)
    assert out.shape == (30, 3) and len(teacher.layers) == layers
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in teacher.parameters())


def both(model, in_features, *, training=False, device="cpu", **options):
    """The same model on either backend."""
    options = {"layers": 3, "hidden": 16, "heads": 2, "dropout": 0.0, "attention_dropout": 0.0} | (
        options
    )
    found = []
    for backend in BACKENDS:
        config = TeacherConfig(model=model, backend=backend, **options)
        torch.manual_seed(3)
        found.append(build_teacher(config, in_features, 5).train(training))
    one, other = found
    assert (one.backend, other.backend) == ("dgl", "native")
    state = other.state_dict()
    assert list(state) == list(one.state_dict())
    # Bit for bit: the same seed initialises both alike.
    assert all(torch.equal(value, state[key]) for key, value in one.state_dict().items())
    for p in one.parameters():
        torch.nn.init.normal_(p, std=0.5)  # biases are born as zeros
    other.load_state_dict(one.state_dict())
    return one, other.to(device)


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
def test_backends_agree_on_a_full_graph(model, in_features, device):
    csr = random_undirected(50, 120)
    one, other = both(model, in_features, device=device)
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
def test_backends_agree_on_sampled_blocks(model, in_features, device):
    graph = random_undirected(200, 900).to_dgl()
    sampler = dgl.dataloading.NeighborSampler([4, 3, 2])
    sources, _, blocks = sampler.sample_blocks(graph, torch.randperm(200)[:20])
    x = torch.randn(len(sources), in_features)
    one, other = both(model, in_features, device=device)
    inputs = x, x.to(device)
    moved = [CSRGraph.from_dgl(block).to(device) for block in blocks]
    assert_equal(one, other, (blocks, moved), inputs)


@pytest.mark.parametrize("in_features", [7, 40])
@pytest.mark.parametrize("model", MODELS)
def test_sparse_inputs(model, in_features, device):
    csr = random_undirected(50, 120)
    x = torch.randn(50, in_features) * (torch.rand(50, in_features) < 0.1)
    one, other = both(model, in_features, device=device)
    inputs = x, SparseMatrix.of(x).to(device)
    assert_equal(one, other, (csr.to_dgl(), csr.to(device)), inputs)


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
        _, graph, x = next(sampler.batches(torch.randperm(200)[:40], 40, 0))
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


def test_native_gat_drops_like_dgl(device):
    """The same distribution, not the same draws: mean and spread over many."""
    csr = random_undirected(20, 60)
    one, other = both("gat", 6, training=True, device=device, layers=1, dropout=0.3,
                      attention_dropout=0.5)  # fmt: skip
    x = torch.randn(20, 6)
    moments = []
    for teacher, graph, h in ((one, csr.to_dgl(), x), (other, csr.to(device), x.to(device))):
        draws = torch.stack([teacher(graph, h).detach().cpu() for _ in range(4000)]).double()
        moments.append((draws.mean(0), draws.std(0)))
    (mean, std), (mean_, std_) = moments
    assert ((mean - mean_).abs() <= 6 * std * (2 / 4000) ** 0.5 + 1e-6).all()
    torch.testing.assert_close(std_, std, rtol=0.15, atol=1e-3)


def test_gat_drops_features_and_attention():
    _, gat, _ = setup("gat", layers=3, attention_dropout=0.6)
    assert {(conv.feat_drop.p, conv.attn_drop.p) for conv in gat.layers} == {(0.4, 0.6)}


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


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 0.999999])
def test_dropout(p, device):
    x = torch.ones(300, 1001, device=device, requires_grad=True)
    y = dropout(x, p, True)
    kept = y != 0
    n, share = x.numel(), float(kept.double().mean())
    assert abs(share - (1 - p)) <= 6 * (p * (1 - p) / n) ** 0.5 + 2**-16
    dropped = min(p, 65535 / 65536) if device == "cpu" else p
    deviation = (dropped / (1 - dropped) / n) ** 0.5
    assert float(y.detach().double().mean()) == pytest.approx(1, abs=6 * deviation)
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], y)
    # No entry says anything of its neighbours, the four of a draw among them.
    flat = kept.flatten().double()
    for lag in (1, 2, 3, 4, 1001):
        together = float((flat[lag:] * flat[:-lag]).mean())
        assert abs(together - share**2) <= 12 / n**0.5
    assert dropout(x, p, False) is x


def test_mlp_drops_in_training_alone():
    mlp, x = MLP(6, 9, 4, layers=2, dropout=0.3), torch.randn(20, 6)
    assert not torch.equal(mlp.train()(x), mlp(x))
    assert torch.equal(mlp.eval()(x), mlp(x))
