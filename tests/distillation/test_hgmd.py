"""HGMD: its edges, and what becomes of them, in both variants."""

from math import log

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity, cross_entropy, kl_div

from infgrand_dgl.config.reading import load_config
from infgrand_dgl.graph import CSRGraph
from infgrand_dgl.registry import methods
from tests.conftest import random_undirected
from tests.distillation.saying import assert_defined, losses_of
from tests.distillation.test_krd import SEED, drawn, lesson

EPOCHS, EPOCH = 9, 4


@pytest.fixture
def config(tiny):
    overrides = [f"train.epochs={EPOCHS}", "distillation.lambda=0.25", "method=hgmd"]
    return load_config(tiny, [*overrides, "hgmd.alpha=2", "hgmd.beta=0.4"])


def made(config, csr, logits, **options):
    return methods["hgmd"].objective(lesson(config, csr, logits, None, **options))


def pair(config, **settings):
    """Two nodes, an edge: the teacher is even of node 0 and certain of class 0 of node 1; the
    student even of node 0, and 3/4 sure of class 0 of node 1. In the first epoch all edges are in.

    KL(q_0 ‖ p_0) = 0, KL(q_1 ‖ p_0) = log 2, KL(q_1 ‖ p_1) = log 4/3, KL(q_0 ‖ p_1) = half of it.
    """
    csr = CSRGraph.from_edges(np.array([0]), np.array([1]), 2)
    objective = made(config.replace("hgmd", **settings), csr, torch.tensor([[0, 0], [1e3, 0.0]]))
    student = torch.tensor([[0.0, 0.0], [log(3.0), 0.0]])
    rows = drawn(objective, 1, student)
    return float(losses_of(objective, student, rows=rows)["distillation_loss"])


def test_weight_by_hand(config):
    """cos(q_0, q_1) = 1/√2: of each row's two edges that one weighs 2·(1/√2) / (1 + 1/√2)."""
    w = 2 / (1 + 2**0.5)
    by_hand = (w * log(2) + (2 - w) * log(4 / 3) + w * log(4 / 3) / 2) / 4
    assert pair(config, variant="weight") == pytest.approx(by_hand, rel=1e-5)


def test_mixup_by_hand(config):
    """Beta(∞, ∞) is 1/2: on the edge each node learns from the mean of both."""
    by_hand = (log(2) / 2 + log(4 / 3) * (1 + 1 / 4 + 1 / 2)) / 4
    assert pair(config, variant="mixup", beta=1e9) == pytest.approx(by_hand, rel=1e-4)


def chances(i, j, q, logits, student, alpha):
    """π of the edges, as it is written."""

    def hardness(p):
        H = -(p * p.log()).sum(1)
        return H / H.max()

    teacher, learner = hardness(q), hardness(student.double().softmax(1))
    cosine = cosine_similarity(q[i], q[j])
    return cosine, 1 - (-alpha * cosine * (teacher[i] * learner[i]).sqrt() / teacher[j]).exp()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("variant", ["mixup", "weight"])
def test_equals_the_formula(variant, weighted, config, device):
    """Edge by edge in float64, over the edges and mixtures that the random numbers choose."""
    N, C, tau, device = 70, 3, 1.4, torch.device(device)
    config = config.replace("hgmd", variant=variant).replace("distillation", lambda_=0.25, tau=tau)
    csr = random_undirected(N, 250, weighted=weighted)
    logits, earlier, student = (2 * torch.randn(N, C) for _ in range(3))
    labels, train = torch.randint(C, (N,)), torch.randperm(N)[:9]
    objective = made(config, csr, logits.to(device), train=train, labels=labels)
    rows = drawn(objective, EPOCH, earlier.to(device))

    i, j = torch.repeat_interleave(csr.row_lengths), csr.indices.long()
    z = logits.double()
    alpha = 2 * 100 ** (-(EPOCH - 1) / (EPOCHS - 1))
    cosine, pi = chances(i, j, z.softmax(1), logits, earlier, alpha)
    random = np.random.default_rng([SEED, EPOCH])
    kept = torch.from_numpy(random.random(csr.num_edges, np.float32)) < pi
    kept |= i == j
    assert N < int(kept.sum()) < csr.num_edges
    pi[i == j] = 1.0
    c = (torch.ones(csr.num_edges) if csr.weights is None else csr.weights).double() * kept
    out = student.double().requires_grad_()
    q, log_p = (z / tau).softmax(1), (out / tau).log_softmax(1)

    def kl(expected):
        return kl_div(log_p[i], expected, reduction="none").sum(1)

    if variant == "mixup":
        m = pi * torch.from_numpy(random.beta(0.4, 0.4, csr.num_edges))
        u = (1 - m)[:, None] * q[i] + m[:, None] * q[j]
        distilled = (c * kl(u)).sum() / c.sum()
        recorded = (c * ((1 - m) * kl(q[i]) + m * kl(q[j]))).sum() / c.sum()
    else:
        x = torch.zeros(N, N, dtype=torch.float64)
        x[i, j] = c * cosine * pi
        number = torch.zeros(N, dtype=torch.float64).index_add_(0, i, c)
        share = number[i] * (cosine * pi) / x.sum(1)[i]
        distilled = recorded = (c * share * kl(q[j])).sum() / c.sum()
    loss = 0.25 * cross_entropy(out[train], labels[train]) + 0.75 * distilled
    loss.backward()

    expected = {"distillation_loss": recorded}
    assert_defined(objective, student.to(device), rows, expected, out.grad)


def test_the_first_epoch_has_all_edges_and_the_last_few(config):
    """π ends where α is a hundredth; a draw is its epoch's alone."""
    config = config.replace("hgmd", variant="weight", alpha=1e-8)
    N = 50
    csr, logits, said = random_undirected(N, 200), torch.randn(N, 3), torch.randn(N, 3)
    objective = made(config, csr, logits)
    p = logits.double().softmax(1)
    cosine = cosine_similarity(p[:, None], p[None], dim=2)
    rows = torch.repeat_interleave(csr.row_lengths)
    A = torch.zeros(N, N, dtype=torch.float64)
    A[rows, csr.indices.long()] = 1.0
    w = A * cosine
    w = w / w.sum(1, keepdim=True) * A.sum(1, keepdim=True) / A.sum()
    first = objective.renewed(1, lambda: said)["targets"].clone()
    torch.testing.assert_close(first.double(), w @ p, rtol=1e-4, atol=1e-6)
    last = objective.renewed(EPOCHS, lambda: said)["targets"].clone()
    torch.testing.assert_close(last.double(), p / N, rtol=1e-4, atol=1e-6)  # loops alone
    again = made(config, csr, logits).renewed(1, lambda: said)["targets"]
    assert torch.equal(again, first)


def test_certain_teachers(config):
    """Entropies of 0, of all nodes: targets are finite, and still a distribution over edges."""
    csr = random_undirected(20, 40)
    logits = torch.tensor([[1e3, 0.0], [0.0, 1e3]]).repeat(10, 1)
    for variant in ("mixup", "weight"):
        objective = made(config.replace("hgmd", variant=variant), csr, logits)
        found = objective.renewed(2, lambda: torch.zeros(20, 2))
        assert all(values.isfinite().all() for values in found.values())
        assert float(found["targets"].sum()) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("sure", [105.0, 120.0, 800.0])
def test_certain_teachers_among_others(sure, config):
    """Of classes apart: entropies that float64 has, and float32 has not, beside products of 0."""
    csr = CSRGraph.from_edges(np.array([0, 1]), np.array([1, 2]), 3)
    logits = torch.tensor([[0.0, 0.0], [sure, 0.0], [0.0, sure]])
    for variant in ("mixup", "weight"):
        objective = made(config.replace("hgmd", variant=variant), csr, logits)
        found = objective.renewed(2, lambda: torch.zeros(3, 2))
        assert all(values.isfinite().all() for values in found.values())
