import pytest
import torch

from infgrand_dgl.config import TeacherConfig
from infgrand_dgl.nn.mlp import MLP
from infgrand_dgl.training.teacher import build_teacher
from tests.conftest import dense_adjacency, random_undirected


def setup(model, layers=2, **options):
    csr = random_undirected(30, 60)
    config = TeacherConfig(model=model, layers=layers, hidden=8, dropout=0.4, heads=2, **options)
    return csr, build_teacher(config, 5, 3).eval(), torch.randn(30, 5)


def test_gcn_is_its_equation():
    csr, gcn, x = setup("gcn")
    A = dense_adjacency(csr).float()
    s = A.sum(1).rsqrt()
    A = s[:, None] * A * s
    one, two = gcn.layers
    hidden = (A @ x @ one.weight + one.bias).relu()
    torch.testing.assert_close(gcn(csr.to_dgl(), x), A @ hidden @ two.weight + two.bias)


def test_sage_is_its_equation():
    csr, sage, x = setup("sage")
    A = dense_adjacency(csr).float() + torch.eye(30)  # the node itself once more
    A = A / A.sum(1, keepdim=True)
    one, two = sage.layers
    hidden = (A @ x @ one.fc_neigh.weight.T + one.bias).relu()
    expected = A @ hidden @ two.fc_neigh.weight.T + two.bias
    torch.testing.assert_close(sage(csr.to_dgl(), x), expected)


def test_gat_is_its_equation():
    csr, gat, x = setup("gat")
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
@pytest.mark.parametrize("model", ["gcn", "gat", "sage"])
def test_depth_and_gradients(model, layers):
    csr, teacher, x = setup(model, layers)
    out = teacher.train()(csr.to_dgl(), x)
    assert out.shape == (30, 3) and len(teacher.layers) == layers
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in teacher.parameters())


def test_gat_drops_features_and_attention():
    _, gat, _ = setup("gat", layers=3, attention_dropout=0.6)
    assert {(conv.feat_drop.p, conv.attn_drop.p) for conv in gat.layers} == {(0.4, 0.6)}


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
