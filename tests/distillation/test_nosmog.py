"""NOSMOG's loss: each part by hand, by the formula, and by batches."""

from math import log

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import NodeDataset, Split
from infgrand_dgl.distillation.methods.nosmog import Projection, adversary, nosmog, pairs
from infgrand_dgl.distillation.objective import Lesson, Student
from infgrand_dgl.errors import InputError
from infgrand_dgl.features.sparse import SparseMatrix
from infgrand_dgl.nn.mlp import MLP
from infgrand_dgl.system.memory import Budget
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training.settings import for_task
from tests.conftest import random_undirected
from tests.distillation.saying import losses_of
from tests.training.test_graphed import no_waiting

N, D, C, H = 30, 7, 3, 5  # H of the teacher


class Case:
    """A lesson, and a student without dropout, on a device."""

    def __init__(self, config, device="cpu", lambda_=0.3, **settings):
        off = {"adversarial": 0.0, "similarity": 0.0, "epsilon": 0.2}
        config = config.replace("nosmog", **(off | settings)).replace("student", dropout=0.0)
        self.config = config.replace("distillation", lambda_=lambda_, tau=1.0)
        self.device, self.lambda_ = torch.device(device), lambda_
        self.x = torch.rand(N, D, device=device)
        self.labels, self.train = torch.randint(C, (N,)), torch.randperm(N)[:8]
        self.logits, self.hidden = 2 * torch.randn(N, C), torch.rand(N, H)
        split = Split(self.train, *torch.empty(2, 0, dtype=torch.long))
        view = NodeDataset("any", random_undirected(N, 60), self.x, self.labels, C, split, {})
        runtime = Runtime(self.device, Budget(1 << 40, 1 << 40))
        lesson = Lesson(self.config, view, None, self.logits, runtime, 4, hidden=self.hidden)
        self.lesson, self.made = lesson, nosmog(lesson)
        self.mlp = MLP(D, self.config.student.hidden, C, layers=2).to(device)
        self.g = self.made.module or torch.nn.Identity()
        self.g.to(device)
        self.student = Student(self.mlp, self.mlp)
        self.rows = {"x": self.x} | {k: v.to(device) for k, v in self.made.rows.items()}

    def losses(self, ids=None):
        batch = self.rows if ids is None else {k: v[ids] for k, v in self.rows.items()}
        return self.made.losses(self.student, batch)

    def base(self, x):
        """λ·mean_L CE + (1 - λ)·mean_V KL, float64."""
        out = self.mlp(x).double().cpu()
        ce = cross_entropy(out[self.train], self.labels[self.train])
        q = self.logits.double().softmax(dim=1)
        kl = kl_div(out.log_softmax(dim=1), q, reduction="batchmean")
        return self.lambda_ * ce + (1 - self.lambda_) * kl

    def mean_of_pairs(self, nodes):
        """As the formula has it, float64."""
        assert isinstance(self.g, Projection)
        g = self.g.linear.double()
        h = self.mlp.layers[0](self.x).double()
        s, t = g(h).relu()[nodes].detach().cpu().numpy(), self.hidden.double()[nodes].numpy()
        g.float()
        squares = [(t[i] @ t[j] - s[i] @ s[j]) ** 2 for i in range(len(t)) for j in range(len(t))]
        return float(np.mean(squares))


def test_pairs_by_hand():
    """t = 1 and 2, s = 0: products 1, 2, 2, 4; s = t: nothing is left."""
    t = torch.tensor([[1.0], [2.0]])
    assert float(pairs(t, torch.zeros(2, 3))) == 25
    assert float(pairs(t, torch.tensor([[0.0, 1.0], [0.0, 2.0]]))) == 0


def test_by_hand(tiny_config):
    """Weights of 0: even over C classes whatever the inputs, so x + δ costs what x does, CE log C
    and KL log C less the teacher's entropy. g is 0, and t 1 of one node alone: of N² pairs one is 1.
    """
    case = Case(tiny_config, adversarial=0.5, similarity=7.0)
    for weights in (*case.mlp.parameters(), *case.g.parameters()):
        weights.data.zero_()
    case.rows["hidden"] = torch.zeros(N, H).index_fill_(0, torch.tensor([2]), 1 / H**0.5)
    q = case.logits.double().softmax(dim=1)
    kl = log(C) + float((q * q.log()).sum(dim=1).mean())
    base = 0.3 * log(C) + 0.7 * kl
    labelled = float(2 in case.train.tolist())
    similar = 0.7 / N**2 + 0.3 * labelled / 8**2
    assert case.losses()["loss"].item() == pytest.approx(1.5 * base + 7 * similar, rel=1e-5)


@pytest.mark.parametrize("lambda_", [0.0, 0.3, 1.0])
def test_similarity_is_the_mean_over_pairs(lambda_, tiny_config, device):
    case = Case(tiny_config, device, lambda_, similarity=0.5)
    everywhere, among = case.mean_of_pairs(torch.arange(N)), case.mean_of_pairs(case.train)
    expected = case.base(case.x) + 0.5 * (lambda_ * among + (1 - lambda_) * everywhere)
    found = case.losses()
    assert found["loss"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert set(found) == {"loss", "supervised_loss", "distillation_loss"}
    found["loss"].backward()
    parameters = [*case.mlp.parameters(), *case.g.parameters()]
    assert all(p.grad is not None for p in parameters)


def test_adversarial_loss_is_the_base_loss_there(tiny_config, device):
    case = Case(tiny_config, device, adversarial=0.6)
    torch.manual_seed(8)
    found = case.losses()["loss"].item()
    torch.manual_seed(8)
    delta = adversary(case.base, case.x, 0.2, 5)
    expected = case.base(case.x) + 0.6 * case.base(case.x + delta)
    assert found == pytest.approx(expected.item(), rel=1e-3)
    assert case.base(case.x + delta).item() > case.base(case.x).item()


def test_adversary_by_hand():
    """Up where the loss rises, down where it falls, to ε at most; a step is ε/4."""
    x, slope = torch.zeros(2, 3), torch.tensor([1.0, -1.0, 0.0])
    torch.manual_seed(3)
    start = 0.8 * torch.rand(2, 3) - 0.4
    for steps in (0, 1, 5, 9):
        torch.manual_seed(3)
        found = adversary(lambda x: (x * slope).sum(), x, 0.4, steps)
        expected = (start + 0.1 * steps * slope).clamp(-0.4, 0.4)
        torch.testing.assert_close(found, expected)
    assert float(found[:, 0].min()) == pytest.approx(0.4)


def test_adversary_equals_a_slow_one():
    """A linear softmax classifier, whose gradient is (p - y)·W, entry by entry in NumPy."""
    x, W, y = np.random.rand(6, 4), np.random.randn(3, 4), np.random.randint(3, size=6)
    torch.manual_seed(5)
    delta = 2 * 0.3 * torch.rand(6, 4, dtype=torch.float64).numpy() - 0.3
    for _ in range(5):
        for i in range(6):
            p = np.exp(W @ (x[i] + delta[i]))
            p /= p.sum()
            gradient = sum((p[c] - (y[i] == c)) * W[c] for c in range(3))
            delta[i] = np.clip(delta[i] + 0.3 / 4 * np.sign(gradient), -0.3, 0.3)
    weights = torch.from_numpy(W).requires_grad_()
    torch.manual_seed(5)
    labels = torch.from_numpy(y)
    found = adversary(lambda x: cross_entropy(x @ weights.T, labels), torch.from_numpy(x), 0.3, 5)
    np.testing.assert_allclose(found, delta, rtol=0, atol=1e-12)
    assert weights.grad is None and not found.requires_grad
    assert float(found.abs().max()) <= 0.3


def test_batches_add_up(tiny_config, device, monkeypatch):
    """Base and adversarial losses; from starts that are a node's own."""
    monkeypatch.setattr(torch, "rand_like", lambda x: (37 * x).frac())
    case = Case(tiny_config, device, adversarial=0.6)
    gradients = []
    order = torch.randperm(N).to(device)
    for parts in ([torch.arange(N, device=device)], order.split(11)):
        found = [case.losses(ids) for ids in parts]
        sum(each["loss"] for each in found).backward()
        gradients.append([p.grad for p in case.mlp.parameters()])
        case.mlp.zero_grad(set_to_none=True)
        if len(parts) == 1:
            expected = found[0]
    for name, value in expected.items():
        torch.testing.assert_close(sum(each[name] for each in found), value)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_similarity_of_batches(tiny_config, device):
    """Each has the mean over its own pairs, by the share of the nodes that it has."""
    case = Case(tiny_config, device, similarity=1.0)
    expected = case.base(case.x).item()
    total = 0.0
    for ids in torch.randperm(N).split(11):
        total += case.losses(ids.to(device))["loss"].item()
        expected += 0.7 * len(ids) / N * case.mean_of_pairs(ids)
        known = ids[torch.isin(ids, case.train)]
        if len(known):
            expected += 0.3 * len(known) / len(case.train) * case.mean_of_pairs(known)
    assert total == pytest.approx(expected, rel=1e-4)


def test_waits_for_nothing(tiny_config, device):
    case = Case(tiny_config, device, adversarial=0.1, similarity=0.1)
    with no_waiting(case.device):
        case.losses()["loss"].backward()
    assert all(p.grad is not None and p.grad.any() for p in case.mlp.parameters())


def test_sparse_inputs_are_the_same(tiny_config):
    case = Case(tiny_config, adversarial=0.6, similarity=0.1)
    case.x *= torch.rand(N, D) < 0.3
    found = []
    for x in (case.x, SparseMatrix.of(case.x)):
        case.rows["x"] = x
        torch.manual_seed(2)
        found.append(case.losses()["loss"].item())
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert torch.equal(SparseMatrix.of(case.x).to_dense(), case.x)


def test_projection_is_drawn_by_the_seed(tiny_config):
    """And leaves the random numbers of the student alone."""
    lesson, before = Case(tiny_config, similarity=1.0).lesson, torch.get_rng_state()
    one = Projection(lesson)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(one.linear.weight, Projection(lesson).linear.weight)
    assert one.linear.weight.shape == (8, 8)


def test_parts_that_are_off_cost_nothing(tiny_config):
    """GLNN's loss, of a student that may be asked for anything."""
    case = Case(tiny_config)
    assert case.made.module is None and "hidden" not in case.made.rows and not case.made.copies
    out = torch.randn(N, C)
    expected = losses_of(case.made, out)["loss"]
    case.student = Student(lambda x, hidden: (out, out), lambda x: out)
    torch.testing.assert_close(case.losses()["loss"], expected)


def test_a_teacher_without_hidden_layer_is_refused_at_once(tiny):
    """Before it is trained; jumping knowledge has what the similarity reads."""
    overrides = ["method=nosmog", "teacher.layers=1"]
    with pytest.raises(InputError, match="^teacher.layers: 1: .* which nosmog needs"):
        for_task(load_config(tiny, overrides), "classification")
    for_task(load_config(tiny, [*overrides, "teacher.jumping_knowledge=sum"]), "classification")
