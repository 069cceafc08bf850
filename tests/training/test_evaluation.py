import time

import pytest
import torch

from infgrand_dgl.data import NodeDataset, Split
from infgrand_dgl.training.evaluation import (
    REQUEST,
    evaluate,
    milliseconds_per_1000_nodes,
    milliseconds_per_request,
)
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
    found = evaluate(lambda ids, read: PREDICTED[ids], dataset)
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


def test_pace(monkeypatch):
    """A pass over 12 nodes that takes 6 ms takes 500 ms per 1000 nodes."""
    now = 0.0

    def forward():
        nonlocal now
        now += 0.006
        return torch.eye(2)[PREDICTED]

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    assert milliseconds_per_1000_nodes(forward) == pytest.approx(500)


def test_request(monkeypatch):
    """Distinct nodes, others every time, which take 6 ms."""
    now, asked = 0.0, []

    def serve(ids):
        nonlocal now
        now += 0.006
        asked.append(ids.tolist())
        return torch.zeros(len(ids), 2)

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    assert milliseconds_per_request(serve, 40) == pytest.approx(6)
    assert all(len(set(nodes)) == REQUEST and max(nodes) < 40 for nodes in asked)
    assert len({tuple(nodes) for nodes in asked}) == len(asked) > 5
