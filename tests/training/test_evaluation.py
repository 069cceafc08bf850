import json
import time
from dataclasses import replace

import pytest
import torch
from sklearn import metrics as sk

from infgrand_dgl import InputError
from infgrand_dgl.data import NodeDataset, Split
from infgrand_dgl.training.evaluation import (
    REQUEST,
    check_defined,
    evaluate,
    milliseconds_per_1000_nodes,
    milliseconds_per_request,
    summary,
    warning,
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


@pytest.fixture
def several(dataset):
    """Three labels of each node; nobody knows those of nodes 3 and 7, of the last any in `test`."""
    labels = torch.tensor([[0.0, 1, 1], [1, 0, 0], [1, 1, 0], [0, 0, 1]]).repeat(3, 1)
    labels[[3, 7]] = torch.nan
    labels[4:8, 2] = torch.nan
    return replace(dataset, labels=labels, num_classes=3, task="multilabel")


@pytest.fixture
def numbers(dataset):
    return replace(dataset, labels=5 + torch.randn(12, 2), task="regression")


def test_several_labels(several):
    logits, asked = torch.randn(12, 3), []

    def outputs(ids, read):
        asked.append(read)
        return read(logits[ids])

    found = evaluate(outputs, several)
    assert len(asked) == 3 * 2  # what ranks and what says is read once of each part
    assert list(found) == ["accuracy", "macro_f1", "roc_auc", "average_precision", "per_class"]
    for part, ids in (("val", [0, 1, 2]), ("test_observed", [8, 9, 10, 11])):
        y, s = several.labels[ids].numpy(), logits[ids].numpy()
        assert found["roc_auc"][part] == pytest.approx(sk.roc_auc_score(y, s))
        assert found["accuracy"][part] == pytest.approx(((s > 0) == y).mean())
    y, s = several.labels[[4, 5, 6], :2].numpy(), logits[[4, 5, 6], :2].numpy()
    assert found["average_precision"]["test"] == pytest.approx(sk.average_precision_score(y, s))
    by_class = found["per_class"]["roc_auc"]["test"]
    assert by_class == [pytest.approx(sk.roc_auc_score(y[:, c], s[:, c])) for c in (0, 1)] + [None]
    assert json.loads(json.dumps(found)) == found


def test_numbers(numbers):
    predicted = numbers.labels + 0.3 * torch.randn(12, 2)
    found = evaluate(lambda ids, read: read(predicted[ids]), numbers)
    assert list(found) == ["r2", "mae", "rmse", "per_class"]
    y, s = numbers.labels[4:8].double().numpy(), predicted[4:8].double().numpy()
    assert found["r2"]["test"] == pytest.approx(sk.r2_score(y, s), abs=1e-9)
    columns = sk.mean_absolute_error(y, s, multioutput="raw_values")
    assert found["per_class"]["mae"]["test"] == pytest.approx(columns.tolist(), rel=1e-5)
    numbers.labels[4:8] = 1  # r2 is undefined on a part, and left out
    assert list(evaluate(lambda ids, read: read(predicted[ids]), numbers)) == [
        "mae",
        "rmse",
        "per_class",
    ]


def test_a_metric_must_be_defined(several, numbers):
    check_defined(None, several)
    check_defined("macro_f1", several)
    several.labels[4:8, :2] = 1  # every node of `test` has every label
    check_defined("macro_f1", several)
    with pytest.raises(
        InputError,
        match="roc_auc needs a label that some nodes have and others have not among the test nodes",
    ):
        check_defined(None, several)
    several.labels[:4] = 0
    with pytest.raises(InputError, match="macro_f1 needs a label .* validation nodes, found none"):
        check_defined("macro_f1", several)
    check_defined("r2", numbers)
    numbers.labels[8:, :] = 3
    with pytest.raises(InputError, match="r2 needs numbers that differ among the observed test"):
        check_defined(None, numbers)
    check_defined("mae", numbers)
    with pytest.raises(InputError, match="accuracy is for classification and multilabel"):
        check_defined("accuracy", numbers)


def test_what_is_no_better_than_nothing(several, numbers):
    for dataset, words in (
        (
            several,
            "no better than predicting how frequent each label is on the test nodes (ROC-AUC",
        ),
        (numbers, "no better than predicting the mean on the test nodes (R² -"),
    ):
        right = dataset.labels.nan_to_num()

        def worth(outputs, dataset=dataset):
            return evaluate(lambda ids, read: read(outputs[ids]), dataset)

        good, bad = worth(right), worth(-right)
        assert warning(good, "mae") is None
        assert words in (warning(bad, "mae") or "")


def test_summary_of_columns():
    seeds = [
        {"val": 0.25, "per_class": {"test": [0.5, None, None]}, "r2": {"test": 1.0}},
        {"val": 0.75, "per_class": {"test": [1.0, 0.5, None]}},
    ]
    found = summary(seeds)
    assert found["val"] == {"mean": 0.5, "std": 0.25, "per_seed": [0.25, 0.75]}
    assert found["per_class"]["test"] == {
        "mean": [0.75, 0.5, None],
        "std": [0.25, 0.0, None],
        "per_seed": [[0.5, None, None], [1.0, 0.5, None]],
    }
    assert "r2" not in found  # one seed has none


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
