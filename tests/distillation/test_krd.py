"""KRD: its unreliability, its power, and the loss over the edges that it draws."""

from math import log

import numpy as np
import pytest
import torch
from scipy.optimize import curve_fit
from scipy.stats import entropy
from torch.nn.functional import cross_entropy, kl_div

from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import NodeDataset, Split
from infgrand_dgl.distillation.methods import krd as module
from infgrand_dgl.distillation.objective import Lesson
from infgrand_dgl.registry import methods
from infgrand_dgl.system.memory import Budget
from infgrand_dgl.system.runtime import Runtime
from tests.conftest import random_undirected
from tests.distillation.saying import assert_defined, losses_of
from tests.influence.test_measures import graph

SEED = 11


def lesson(config, csr, logits, perturbed, train=None, labels=None):
    N, device = csr.num_rows, logits.device
    labels = torch.zeros(N, dtype=torch.long) if labels is None else labels
    split = Split(torch.tensor([0]) if train is None else train, *torch.empty(2, 0).long())
    C = logits.shape[1]
    view = NodeDataset("any", csr.to("cpu"), torch.zeros(N, 1), labels, C, split, {})
    runtime = Runtime(device, Budget(1 << 40, 1 << 40))
    return Lesson(config, view, None, logits, runtime, SEED, perturbed=perturbed)


def made(*given, **options):
    return methods["krd"].objective(lesson(*given, **options))


@pytest.fixture
def config(tiny):
    values = ["lambda=0.25", "tau=2", "loss=edge_kl", "gamma2=9"]
    overrides = [f"distillation.{value}" for value in values]  # it reads the first two
    return load_config(tiny, [*overrides, "method=krd", "krd.warm_up=2", "krd.every=3"])


def drawn(objective, epoch, student):
    """All rows of an epoch, where the student says what it is told."""
    changed = objective.renewed(epoch, lambda: student)
    device = student.device
    return {name: values.to(device) for name, values in (objective.rows | changed).items()}


def test_on_a_star_by_hand(config):
    """The hub is certain, the leaves even, the student even: edges out of the hub cost log 2.

    At first those are 4 of 10. Noise makes the hub even and changes no leaf: ρ of the hub is 1, of
    the leaves 0. So the hub's edges to the leaves are never drawn, all others always, and the
    hub's self-loop is 1 of 7.
    """
    logits = torch.tensor([[1e3, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    objective = made(config, graph("star", "cpu"), logits, torch.zeros(4, 2))
    even = torch.zeros(4, 2)
    at_first = losses_of(objective, even)
    assert float(at_first["distillation_loss"]) == pytest.approx(4 * log(2) / 10, rel=1e-5)
    assert float(at_first["loss"]) == pytest.approx(log(2) * (0.25 + 0.75 * 0.4), rel=1e-5)
    assert objective.renewed(1, None) == objective.renewed(2, None) == {}
    later = losses_of(objective, even, rows=drawn(objective, 3, even))
    assert float(later["distillation_loss"]) == pytest.approx(log(2) / 7, rel=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_equals_the_formula(weighted, config, device):
    """Edge by edge in float64, over the edges that the epoch's random numbers choose."""
    N, C, device = 80, 3, torch.device(device)
    csr = random_undirected(N, 300, weighted=weighted)
    logits, noisy, student = (3 * torch.randn(N, C) for _ in range(3))
    labels, train = torch.randint(C, (N,)), torch.randperm(N)[:9]
    given = (x.to(device) for x in (logits, noisy))
    objective = made(config, csr, *given, train=train, labels=labels)
    rows = drawn(objective, 3, student.to(device))

    def in_nats(z):
        return entropy(z.double().softmax(dim=1).numpy(), axis=1)

    rho = abs(in_nats(noisy) - in_nats(logits))
    rho = rho / rho.max()
    power = 0.99 * 1.0 + 0.01 * as_published(rho, logits, student, 1.0)
    assert float(objective.module.value) == pytest.approx(power, rel=1e-5)
    i, j = torch.repeat_interleave(csr.row_lengths), csr.indices.long()
    uniform = np.random.default_rng([SEED, 3]).random(csr.num_edges, np.float32)
    kept = torch.from_numpy(uniform < 1 - rho[j] ** power) | (i == j)
    assert int(kept.sum()) not in (0, len(kept), N)
    w = (torch.ones(csr.num_edges) if csr.weights is None else csr.weights).double() * kept
    out = student.double().requires_grad_()
    q, log_p = (logits.double() / 2).softmax(1), (out / 2).log_softmax(1)
    kl = (w * kl_div(log_p[i], q[j], reduction="none").sum(1)).sum() / w.sum()
    loss = 0.25 * cross_entropy(out[train], labels[train]) + 0.75 * kl
    loss.backward()

    expected = {"loss": loss, "distillation_loss": kl}
    assert_defined(objective, student.to(device), rows, expected, out.grad)


def as_published(rho, logits, student, start):
    """The published way: shares of 50 bins, scaled, fitted at their left edges + 0.05."""
    right = (logits.argmax(1) == student.argmax(1)).numpy()
    alike, edges = np.histogram(rho[right], bins=50, range=(0, 1))
    unlike, _ = np.histogram(rho[~right], bins=50, range=(0, 1))
    share = alike / (alike + unlike + 1e-6)
    share = (share - share.min()) / (share.max() - share.min())
    return curve_fit(lambda x, a: 1 - x**a, edges[:-1] + 0.05, share, p0=[start])[0][0]


def test_the_power_of_a_curve_is_found():
    """Shares that are 1 - x^a give a back: of a million nodes the x-th agrees with that chance."""
    rho = np.random.rand(1_000_000)
    for a in (2.0, 3.0, 5.0):  # so that the first bin's share is nearly 1
        x = np.clip(np.floor(rho * 50) / 50 + 0.05, 0, 1)
        agrees = np.random.rand(len(rho)) < 1 - x**a
        found = module.fit(rho, agrees, 1.0)
        assert found == pytest.approx(a, rel=0.05)
    assert module.fit(rho, np.zeros(len(rho), bool), 1.0) is None


def test_a_draw_lasts_and_is_found_again(config):
    """Epochs 1 and 2 have all edges, 3 to 5 one draw, 6 another; going on from 4 has that of 3."""
    N = 60
    csr, said = random_undirected(N, 200), [torch.randn(N, 3) for _ in range(8)]
    given = config, csr, torch.randn(N, 3), torch.randn(N, 3)
    whole = made(*given)
    rows, powers = {}, {}
    for epoch in range(1, 8):
        changed = whole.renewed(epoch, lambda epoch=epoch: said[epoch])
        rows[epoch] = {name: values.clone() for name, values in changed.items()}
        powers[epoch] = whole.module.value.clone()
    assert [epoch for epoch in rows if rows[epoch]] == [3, 6]
    assert len({float(power) for power in powers.values()}) == 3
    again = made(*given)
    again.module.load_state_dict({"value": powers[4]})
    found = again.renewed(5, None)
    assert all(torch.equal(found[name], rows[3][name]) for name in ("targets", "own"))
    assert torch.equal(again.module.value, powers[4])
    found = again.renewed(6, lambda: said[6])
    assert all(torch.equal(found[name], rows[6][name]) for name in ("targets", "own"))
    assert not torch.equal(rows[6]["targets"], rows[3]["targets"])


def test_noise_that_changes_nothing(config):
    """ρ is 0 everywhere: every edge stays."""
    csr, logits = random_undirected(30, 60), torch.randn(30, 3)
    objective = made(config, csr, logits, logits.clone())
    before = objective.rows["targets"].clone()
    found = objective.renewed(3, lambda: torch.randn(30, 3))["targets"]
    torch.testing.assert_close(found, before)
