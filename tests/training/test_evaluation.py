import time

import pytest
import torch

from infgrand_dgl.data import NodeDataset, Split
from infgrand_dgl.training.evaluation import evaluate
from tests.conftest import random_undirected


def ids(*nodes):
    return torch.tensor(nodes)


@pytest.fixture
def dataset():
    """Two classes; nodes 0-3 validate, 4-7 are hidden test nodes, 8-11 observed ones."""
    return NodeDataset(
        name="by hand",
        csr=random_undirected(12, 20),
        features=torch.zeros(12, 1),
        labels=torch.tensor([0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 1]),
        num_classes=2,
        split=Split(ids(), ids(0, 1, 2, 3), ids(4, 5, 6, 7), ids(8, 9, 10, 11), ids()),
        provenance={},
    )


PREDICTED = torch.tensor([0, 0, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0])


def test_accuracy_and_macro_f1_by_hand(dataset):
    """Macro-F1: the mean over the classes of 2·TP / (2·TP + FP + FN)."""
    found = evaluate(lambda: torch.eye(2)[PREDICTED], dataset)
    assert {part: found[part] for part in found["macro_f1"]} == {
        "val": 3 / 4,
        "test": 1 / 4,
        "test_observed": 2 / 4,
    }
    assert found["macro_f1"] == {
        "val": pytest.approx((6 / 7 + 0) / 2),
        "test": pytest.approx((0 + 2 / 5) / 2),
        "test_observed": pytest.approx((4 / 6 + 0) / 2),
    }


def test_given_logits_are_judged_and_the_forward_pass_is_timed(dataset, monkeypatch):
    """A pass over 12 nodes that takes 6 ms takes 500 ms per 1000 nodes."""
    now = 0.0

    def forward():
        nonlocal now
        now += 0.006
        return torch.eye(2)[1 - PREDICTED]

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    found = evaluate(forward, dataset, logits=torch.eye(2)[PREDICTED])
    assert found["milliseconds_per_1000_nodes"] == pytest.approx(500)
    assert found["val"] == 3 / 4


def test_without_a_forward_pass_nothing_is_timed(dataset):
    logits = torch.eye(2)[PREDICTED]
    found = evaluate(None, dataset, logits=logits)
    assert "milliseconds_per_1000_nodes" not in found
    assert found.items() <= evaluate(lambda: logits, dataset).items()
    with pytest.raises(ValueError, match="expected forward or logits"):
        evaluate(None, dataset)
