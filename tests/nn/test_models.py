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


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("layers", [1, 2, 4])
def test_mlp(layers, norm, device):
    mlp = MLP(6, 9, 4, layers=layers, dropout=0.3, norm=norm).to(device).eval()
    x = torch.randn(20, 6, device=device)
    h = x
    for k, linear in enumerate(mlp.layers):
        h = linear(h)
        if k < layers - 1:
            h = mlp.norms[k](h).relu()
    torch.testing.assert_close(mlp(x), h)
    assert {type(n).__name__ for n in mlp.norms} <= {"Identity", "BatchNorm1d", "LayerNorm"}
    if layers > 1:
        noisy = mlp.train()
        assert not torch.equal(noisy(x), noisy(x))  # dropout acts
