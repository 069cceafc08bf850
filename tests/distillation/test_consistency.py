"""L = λ·L_s + (1 - λ)·L_d + μ·L_c over views, by hand and against its formula in float64."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from infgrand_dgl import DistillationLoss, InputError
from infgrand_dgl.config.methods import ConsistencyConfig
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import load_dataset
from infgrand_dgl.distillation.consistency import Consistency, sharpened
from infgrand_dgl.distillation.objective import Lesson, Student
from infgrand_dgl.registry import Task, methods
from infgrand_dgl.system.memory import Budget
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training.settings import for_task
from tests.distillation.saying import assert_adds_up


def consistency(device="cpu", task="classification", count=2, **settings):
    return Consistency(ConsistencyConfig(**settings), task, count, torch.device(device))


def test_by_hand(device):
    """Two views of two nodes. Node 1: (0.8, 0.2) and (0.4, 0.6), so p̄ = (0.6, 0.4), sharpened by
    T = 1/2 to (0.36, 0.16)/0.52 = (9/13, 4/13). Node 2 is even in both, and its target too."""
    p = torch.tensor([[[0.8, 0.2], [0.5, 0.5]], [[0.4, 0.6], [0.5, 0.5]]], device=device)
    found = consistency(device, weight=1.0, temperature=0.5)(list(p.log()))
    first = 2 * (0.8 - 9 / 13) ** 2 + 2 * (0.4 - 9 / 13) ** 2
    assert float(found) == pytest.approx(first / 2 / 2, rel=1e-5)
    # Its 0.6 is not above a threshold of 0.6.
    for threshold, expected in ((0.59, first / 4), (0.61, 0.0)):
        above = consistency(device, weight=1.0, temperature=0.5, threshold=threshold)
        assert float(above(list(p.log()))) == pytest.approx(expected, rel=1e-5)


def test_labels_by_hand():
    """One label of probability 0.8 in one view and 0.4 in the other is the first node above."""
    p = torch.tensor([[[0.8]], [[0.4]]])
    made = consistency(task="multilabel", count=1, weight=1.0, temperature=0.5)
    first = 2 * (0.8 - 9 / 13) ** 2 + 2 * (0.4 - 9 / 13) ** 2
    assert float(made(list(p.logit()))) == pytest.approx(first / 2, rel=1e-5)


def test_labels_are_tasks_of_two_classes():
    z = torch.randn(3, 20, 5)
    settings = {"weight": 1.0, "temperature": 0.4, "threshold": 0.55}
    several = consistency(task="multilabel", count=20, **settings)(list(z))
    two = torch.stack([z, torch.zeros_like(z)], dim=-1).flatten(1, 2)
    torch.testing.assert_close(several, consistency(count=100, **settings)(list(two)))


def test_sharpened(device):
    p = torch.tensor([[0.6, 0.4, 0.0], [1.0, 0.0, 0.0]], device=device)
    for T in (1.0, 0.5, 0.1):
        power = p.double() ** (1 / T)
        expected = (power / power.sum(dim=1, keepdim=True)).float()
        torch.testing.assert_close(sharpened(p, T), expected)


def test_warm_up():
    made = consistency(weight=2.0, warm_up=8)
    found = []
    for epoch in (1, 4, 8, 9, 500):
        made.begin(epoch)
        found.append(float(made.weight))
    assert found == [0.25, 1.0, 2.0, 2.0, 2.0]
    assert not consistency(weight=2.0).grows and float(consistency(weight=2.0).weight) == 2.0


AUGMENTED = ["random_propagation.mask=0.4", "random_propagation.views=3", "distillation.lambda=0.3"]
AUGMENTED += ["consistency.weight=0.7", "consistency.temperature=0.4", "consistency.threshold=0.4"]


def lesson(tiny, device, *overrides):
    config = load_config(tiny, [*AUGMENTED, *overrides])
    view = load_dataset(config, 1)
    N, C = view.num_nodes, view.num_classes
    influence, logits = torch.rand(N), torch.randn(N, C)
    runtime = Runtime(torch.device(device), Budget(1 << 40, 1 << 40))
    return Lesson(config, view, influence, logits, runtime, seed=5)


def linear(W):
    """A student whose logits are x·W."""

    def forward(x):
        return x.to(W.dtype) @ W

    return Student(forward, forward)


def written(given, views, W):
    """The whole loss, term by term as the equation has it, in float64."""
    config, view = given.config, given.view
    ours = config.method == "infgrand"
    d, c, t, N = config.distillation, config.consistency, view.train, view.num_nodes
    z = [x.double().cpu() @ W for x in views]
    ce = [cross_entropy(h[t], view.labels[t], reduction="none") for h in z]
    weights = d.delta1 + d.delta2 * given.influence[t] if ours else 1.0
    L_s = sum((e * weights).mean() for e in ce) / len(z)
    p = [h.softmax(dim=1) for h in z]
    L_c = torch.zeros(())
    for i in range(N):
        mean = torch.stack([q[i] for q in p]).mean(dim=0).detach()
        target = mean ** (1 / c.temperature) / (mean ** (1 / c.temperature)).sum()
        if mean.max() > c.threshold:
            L_c = L_c + sum(((q[i] - target) ** 2).sum() for q in p) / len(p) / N
    terms = {"supervised_loss": L_s, "consistency_loss": L_c}
    if not ours:
        return {"loss": L_s + 0.7 * L_c, **terms}
    gammas = {"gamma1": d.gamma1, "gamma2": d.gamma2, "tau": d.tau}
    edges = DistillationLoss(
        view.csr, given.logits.double(), given.influence, form="apply_edges", **gammas
    )
    L_d = sum(edges(h) for h in z) / len(z)
    return {"loss": 0.3 * L_s + 0.7 * L_d + 0.7 * L_c, "distillation_loss": L_d, **terms}


@pytest.mark.parametrize("stored", [0, 4])
@pytest.mark.parametrize("method", ["infgrand", "grand"])
def test_equals_its_formula(method, stored, tiny, device):
    """Value and gradient."""
    given = lesson(tiny, device, f"method={method}", f"random_propagation.stored={stored}")
    made = methods[method].objective(given)
    assert made.renewed is not None and not made.reads_inputs
    rows = {k: v.to(device) for k, v in {**made.rows, **made.renewed(2, lambda: None)}.items()}
    W = torch.randn(given.view.num_features, given.view.num_classes)
    theirs, ours = W.double().requires_grad_(), W.to(device).requires_grad_()
    found = made.losses(linear(ours), rows)
    expected = written(given, [rows[f"view{s}"] for s in (1, 2, 3)], theirs)
    for name, value in expected.items():
        assert float(found[name].detach()) == pytest.approx(float(value.detach()), rel=1e-4), name
    assert set(found) == set(expected)
    found["loss"].backward()
    expected["loss"].backward()
    assert ours.grad is not None
    torch.testing.assert_close(ours.grad.cpu().double(), theirs.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", ["infgrand", "grand"])
def test_batches_add_up_and_wait_for_nothing(method, tiny, device):
    given = lesson(tiny, device, f"method={method}", "random_propagation.stored=4")
    made = methods[method].objective(given)
    rows = {k: v.to(device) for k, v in made.rows.items()}
    W = torch.randn(given.view.num_features, given.view.num_classes, device=device)
    batches = torch.randperm(given.view.num_nodes).to(device).split(70)
    assert_adds_up(made, linear, W, rows, batches)


def test_views_without_masks_are_passes_of_the_inputs(tiny):
    """Each with dropout of its own; nothing has to be renewed but what grows."""
    for overrides, renewed in (([], False), (["consistency.warm_up=5"], True)):
        given = lesson(tiny, "cpu", "random_propagation.mask=0", *overrides)
        made = methods["infgrand"].objective(given)
        assert made.reads_inputs and (made.renewed is not None) == renewed
    N, C = given.view.num_nodes, given.view.num_classes
    x, seen = torch.randn(N, 6), []

    def forward(x):
        seen.append(x)
        return torch.nn.functional.dropout(x, 0.5)[:, :C]

    found = made.losses(Student(forward, forward), {**made.rows, "x": x})
    assert len(seen) == 1 and torch.equal(seen[0], torch.cat([x] * 3))
    assert float(found["consistency_loss"]) > 0


def test_what_cannot_be_had(tiny):
    asked: list[tuple[list[str], Task, str]] = [
        (["student.features=raw"], "classification", "needs propagated inputs, found .*raw"),
        (
            ["student.model=gamlp"],
            "classification",
            "gamlp: random_propagation.mask: only for student.model: mlp",
        ),
        ([], "regression", "consistency.weight: 0.7: .*regression"),
        (["method=grand"], "regression", "method: grand is for classification and multilabel"),
    ]
    for overrides, task, told in asked:
        with pytest.raises(InputError, match=told):
            for_task(load_config(tiny, [*AUGMENTED, *overrides]), task)
    config = load_config(tiny, [*AUGMENTED, "method=glnn", "student.features=raw"])
    for_task(config, "classification")  # which has no part in it
