"""FF-G2M: both of its terms, and that it takes all nodes at once."""

from dataclasses import replace
from math import log

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from infgrand_dgl import InputError
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.registry import methods
from infgrand_dgl.system.ranks import Ranks
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training.student import train_student
from tests.conftest import random_undirected
from tests.distillation.saying import assert_defined, losses_of
from tests.distillation.test_differences import reference
from tests.distillation.test_krd import lesson
from tests.influence.test_measures import graph


@pytest.fixture
def config(tiny):
    overrides = ["lambda=0.25", "tau=2", "loss=edge_kl", "gamma2=9"]  # it reads the first two
    return load_config(tiny, ["method=ffg2m", *(f"distillation.{o}" for o in overrides)])


def made(config, csr, logits, **options):
    return methods["ffg2m"].objective(lesson(config, csr, logits, None, **options))


def test_on_a_star_by_hand(config):
    """The hub is certain, the leaves even, the student even: 4 of 10 entries cost log 2, and each
    of the 6 edges, between (1, 0) and (1/2, 1/2) differences, the same."""
    logits = torch.tensor([[1e3, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    found = losses_of(made(config, graph("star", "cpu"), logits), torch.zeros(4, 2))
    assert float(found["distillation_loss"]) == pytest.approx(1.4 * log(2), rel=1e-5)
    assert float(found["loss"]) == pytest.approx((0.25 + 0.75 * 1.4) * log(2), rel=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_equals_the_formula(weighted, config, device):
    """Float64, edge by edge: τ is of the second term alone."""
    N, C = 60, 3
    csr, logits, student = (
        random_undirected(N, 150, weighted=weighted),
        2 * torch.randn(N, C),
        torch.randn(N, C),
    )
    labels, train = torch.randint(C, (N,)), torch.randperm(N)[:9]
    out = student.double().requires_grad_()
    i, j = torch.repeat_interleave(csr.row_lengths), csr.indices.long()
    w = (torch.ones(csr.num_edges) if csr.weights is None else csr.weights).double()
    q, log_p = logits.double().softmax(1), out.log_softmax(1)
    low = (w * kl_div(log_p[i], q[j], reduction="none").sum(1)).sum() / w.sum()
    high = reference(csr, logits, out, 2.0)
    loss = 0.25 * cross_entropy(out[train], labels[train]) + 0.75 * (low + high)
    loss.backward()
    objective = made(config, csr, logits.to(device), train=train, labels=labels)
    assert objective.all_at_once
    rows = {name: values.to(device) for name, values in objective.rows.items()}
    assert_defined(objective, student.to(device), rows, {"loss": loss}, out.grad)


def test_no_batches(config):
    """It is told before anything is trained."""
    expected = "needs all nodes in one step; expected student.batch_size: null; found 10"
    with pytest.raises(InputError, match=f"^config: method: ffg2m: {expected}$"):
        config.replace("student", batch_size=10)
    batches = config.replace(method="glnn").replace("student", batch_size=10)
    with pytest.raises(InputError, match=expected):
        batches.baseline("ffg2m")


def test_all_nodes_in_one_step(config, monkeypatch):
    csr, logits = random_undirected(40, 90), torch.randn(40, 3)
    view = lesson(config, csr, logits, None).view
    runtime = replace(Runtime.on("cpu"), ranks=Ranks(0, 2))
    monkeypatch.setattr(Ranks, "tell", lambda self, value: value)
    expected = "^method: ffg2m needs all nodes in one step of one process$"
    with pytest.raises(InputError, match=expected):
        train_student(config, view, view.features, None, logits, runtime, 1, lambda *_: None)
