import pytest
import torch

from tests.conftest import dense_adjacency, random_undirected
from tests.nn.models import BACKENDS, both, setup


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
