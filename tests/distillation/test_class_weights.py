"""Weights of classes, against scikit-learn's, and in the losses."""

import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn.functional import cross_entropy

from infgrand_dgl.data import NodeDataset, Split
from infgrand_dgl.distillation.class_weights import class_weights
from infgrand_dgl.distillation.loss import supervised_loss
from infgrand_dgl.distillation.objective import Lesson
from infgrand_dgl.registry import methods
from infgrand_dgl.system.runtime import Runtime
from tests.conftest import random_undirected
from tests.distillation.saying import losses_of


@pytest.fixture
def view():
    """40 nodes of 5 classes; node ids 0 to 19 are for training, of classes 0, 1 and 3."""
    none = torch.tensor([], dtype=torch.long)
    train = torch.arange(20)
    labels = torch.cat(
        [torch.tensor([0, 1, 1, 3]), torch.tensor([0, 1, 3])[torch.randint(3, (16,))]]
    )
    return NodeDataset(
        name="by hand",
        csr=random_undirected(40, 90),
        features=torch.randn(40, 6),
        labels=torch.cat([labels, torch.randint(5, (20,))]),
        num_classes=5,
        split=Split(train, torch.arange(20, 30), torch.arange(30, 40), none, none),
        provenance={},
    )


@pytest.fixture
def config(tiny_config):
    return tiny_config.replace("train", class_weights="balanced")


def test_balanced(view, config, tiny_config):
    found, labels = class_weights(config, view), view.labels[view.train]
    assert class_weights(tiny_config, view) is None
    assert found is not None and found.dtype == torch.float32
    classes = labels.unique().numpy()
    expected = compute_class_weight("balanced", classes=classes, y=labels.numpy())
    torch.testing.assert_close(
        found[[0, 1, 3]].double(), torch.from_numpy(expected), rtol=1e-6, atol=0
    )
    assert not found[[2, 4]].any()
    assert found[labels].mean() == pytest.approx(1)


@pytest.mark.parametrize("method", ["mlp", "glnn", "infgrand"])
def test_losses_of_students(method, view, config):
    """Each labelled node's cross-entropy by the weight of its class; distillation as it was."""
    config = config.replace(method=method)
    logits, influence = torch.randn(40, 5), torch.rand(40)
    parts = {}
    for name, each in (
        ("weighted", config),
        ("plain", config.replace("train", class_weights="none")),
    ):
        objective = methods[method].objective(
            Lesson(each, view, influence, torch.randn(40, 5), Runtime.on("cpu"))
        )
        nodes = torch.arange(40) if objective.nodes is None else objective.nodes
        parts[name] = losses_of(objective, logits[nodes])
    weights = class_weights(config, view)
    t, d = view.train, config.distillation
    ce = cross_entropy(logits[t], view.labels[t], weights, reduction="none")
    if method == "mlp":
        assert parts["weighted"]["loss"] == pytest.approx(ce.mean().item())
        return
    d1, d2 = (d.delta1, d.delta2) if method == "infgrand" else (1.0, 0.0)
    alike = cross_entropy(logits[t], view.labels[t], reduction="none")
    for name, each in (("weighted", ce), ("plain", alike)):
        expected = (d1 * each + d2 * each * influence[t]).mean().item()
        assert parts[name]["supervised_loss"].item() == pytest.approx(expected, rel=1e-5)


def test_supervised_loss_takes_them():
    logits, labels, influence = torch.randn(12, 3), torch.randint(3, (12,)), torch.rand(12)
    weights = torch.rand(3)
    found = supervised_loss(
        logits, labels, influence, delta1=0.7, delta2=1.3, class_weights=weights
    )
    ce = -weights[labels] * logits.log_softmax(1)[range(12), labels]
    assert found.item() == pytest.approx((ce * (0.7 + 1.3 * influence)).mean().item(), rel=1e-5)
