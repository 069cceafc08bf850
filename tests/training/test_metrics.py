"""What chooses the best epoch, against scikit-learn and by hand."""

from typing import get_args

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch._subclasses.fake_tensor import FakeTensorMode

from infgrand_dgl.config.fields import MetricName
from infgrand_dgl.errors import InputError
from infgrand_dgl.training import columns
from infgrand_dgl.training.metrics import METRICS, USUAL, chosen, of_task, recorded

CLASSES = {name: METRICS[name].of("classification") for name in of_task("classification")}
LABELS = {name: METRICS[name].of("multilabel") for name in of_task("multilabel")}
NUMBERS = {name: METRICS[name].of("regression") for name in of_task("regression")}


def drawn(n, classes, ties):
    """Logits `[n, C]`, and labels of every class."""
    logits = 3 * torch.randn(n, classes)
    labels = torch.cat([torch.arange(classes), torch.randint(classes, (n - classes,))])
    return (logits.round() if ties else logits), labels[torch.randperm(n)]


def ranking(logits):
    """What nodes are ranked by, as it is defined."""
    if logits.shape[1] == 2:
        return logits[:, 1:].double() - logits[:, :1]
    return logits.double().log_softmax(1)


def by_sklearn(logits, labels, scores=None):
    """
    Args:
        scores: what ranks, as a device has it: by rounding, nodes tie on one that do not on another.
    """
    classes = logits.shape[1]
    predicted, y = logits.argmax(1).numpy(), labels.numpy()
    scores = (ranking(logits) if scores is None else scores).numpy()
    truth, scores = (y, scores[:, 0]) if classes == 2 else (np.eye(classes)[y], scores)
    return {
        "accuracy": sk.accuracy_score(y, predicted),
        "macro_f1": sk.f1_score(y, predicted, average="macro", zero_division=0),
        "balanced_accuracy": sk.balanced_accuracy_score(y, predicted),
        "roc_auc": sk.roc_auc_score(truth, scores, average="macro"),
        "average_precision": sk.average_precision_score(truth, scores, average="macro"),
    }


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("n", "classes"), [(9, 2), (400, 2), (12, 3), (700, 7)])
def test_equal_scikit_learns(n, classes, ties, device):
    logits, labels = drawn(n, classes, ties)
    found = {k: m(logits.to(device), labels.to(device)).item() for k, m in CLASSES.items()}
    scores = CLASSES["roc_auc"].read(logits.to(device)).cpu()
    torch.testing.assert_close(scores, ranking(logits), rtol=1e-14, atol=1e-14)
    assert found == pytest.approx(by_sklearn(logits, labels, scores), abs=1e-12)


def test_every_one_can_be_configured():
    assert set(METRICS) == set(get_args(MetricName))


@pytest.mark.parametrize("name", CLASSES)
def test_no_number_is_read_and_no_shape_depends_on_one(name):
    """A fake tensor has no values: whatever asks for one, as a GPU is waited for, raises."""
    with FakeTensorMode():
        for classes in (2, 5):
            value = CLASSES[name](torch.empty(30, classes), torch.empty(30, dtype=torch.long))
            assert (value.shape, value.dtype) == ((), torch.float64)


def test_a_class_that_is_missing_has_no_part_in_a_mean():
    """Classes 0 and 2 of 4; 3 is predicted, so macro-F1 counts it."""
    logits = torch.tensor([[4.0, 0, 1, 0], [3, 0, 1, 0], [2, 0, 1, 0], [0, 0, 0, 1]])
    labels = torch.tensor([0, 0, 2, 2])
    found = {name: metric(logits, labels).item() for name, metric in CLASSES.items()}
    assert found["macro_f1"] == pytest.approx((0.8 + 0 + 0) / 3)
    assert found["balanced_accuracy"] == pytest.approx(1 / 2)
    assert found["roc_auc"] == pytest.approx((1 + by_pairs(logits, labels == 2, 2)) / 2)


def by_pairs(logits, positive, k):
    s = logits.double().log_softmax(1)[:, k]
    differences = s[positive][:, None] - s[~positive]
    return ((differences > 0).double() + 0.5 * (differences == 0)).mean().item()


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_undefined_of_one_class(name):
    assert CLASSES[name](torch.randn(5, 2), torch.zeros(5, dtype=torch.long)).isnan()


def test_confident_nodes_are_still_ranked():
    """Odds of e^30 and e^40 are one probability in float32."""
    logits = torch.tensor([[0.0, 30.0], [0.0, 40.0], [5.0, 0.0]])
    assert CLASSES["roc_auc"](logits, torch.tensor([0, 1, 0])) == 1


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("classes", [2, 4])
def test_the_largest_class(name, classes):
    """Equals the metric of constant logits."""
    labels = torch.cat([torch.full((9,), classes - 1), torch.arange(classes)])
    logits = torch.zeros(len(labels), classes)
    logits[:, classes - 1] = 1
    found = CLASSES[name].of_largest_class(labels, classes)
    assert found == pytest.approx(by_sklearn(logits, labels)[name])


def columns_drawn(n, C, unknown, ties):
    """Outputs, and labels of 0 and 1, of which so large a share is not known."""
    outputs = 2 * torch.randn(n, C)
    labels = (torch.rand(n, C) < 0.3).float()
    labels[torch.rand(n, C) < unknown] = torch.nan
    labels[:2] = torch.tensor([[0.0], [1.0]])
    return (outputs.round() if ties else outputs), labels


def each_column(outputs, labels, judge):
    found = []
    for c in range(labels.shape[1]):
        known = ~labels[:, c].isnan()
        found.append(judge(labels[known, c].double().numpy(), outputs[known, c].double().numpy()))
    return found


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("unknown", [0.0, 0.4])
@pytest.mark.parametrize(("n", "C"), [(7, 1), (300, 6)])
def test_labels_equal_scikit_learns(n, C, unknown, ties, device):
    outputs, labels = columns_drawn(n, C, unknown, ties)
    expected = {
        "accuracy": each_column(outputs, labels, lambda y, s: sk.accuracy_score(y, s > 0)),
        "macro_f1": each_column(outputs, labels, lambda y, s: sk.f1_score(y, s > 0)),
        "roc_auc": each_column(outputs, labels, sk.roc_auc_score),
        "average_precision": each_column(outputs, labels, sk.average_precision_score),
    }
    given = outputs.to(device), labels.to(device)
    assert set(expected) == set(LABELS)
    for name, scorer in LABELS.items():
        by_column = scorer.by_column
        assert by_column is not None
        found = by_column(scorer.read(given[0]), given[1])
        assert found.tolist() == pytest.approx(expected[name], abs=1e-12), name
        assert scorer(*given).item() == pytest.approx(np.mean(expected[name]), abs=1e-12), name


@pytest.mark.parametrize("unknown", [0.0, 0.4])
@pytest.mark.parametrize(("n", "C"), [(9, 1), (200, 5)])
def test_numbers_equal_scikit_learns(n, C, unknown, device):
    outputs, _ = columns_drawn(n, C, 0, False)
    labels = 1000 + outputs + torch.randn(n, C)  # far from 0, as years are
    outputs = 1000 + outputs
    labels[2:][torch.rand(n - 2, C) < unknown] = torch.nan
    expected = {
        "r2": each_column(outputs, labels, sk.r2_score),
        "mae": each_column(outputs, labels, sk.mean_absolute_error),
        "rmse": each_column(outputs, labels, lambda y, s: sk.mean_squared_error(y, s) ** 0.5),
    }
    assert set(expected) == set(NUMBERS)
    for name, scorer in NUMBERS.items():
        found = scorer(outputs.to(device), labels.to(device)).item()
        assert found == pytest.approx(np.mean(expected[name]), rel=1e-9, abs=1e-9), name


def test_columns_by_hand():
    """Column 0: one pair in order of two; column 1 is 0 alone, so that nothing ranks; nothing is
    known of column 2; of column 3 the one positive comes second of three."""
    nan = torch.nan
    labels = torch.tensor(
        [[1, 0, nan, 0.0], [0, 0, nan, 1], [0, nan, nan, 0], [nan, 0, nan, nan], [nan, 0, nan, nan]]
    )
    logits = torch.tensor(
        [[1.0, -1, 5, 3], [2, -1, 5, 2], [-1, 9, 5, -1], [7, -2, 5, 9], [-7, 1, 5, 9]]
    )
    said = columns.present(logits)
    assert columns.roc_auc(logits, labels).tolist() == pytest.approx(
        [0.5, nan, nan, 0.5], nan_ok=True
    )
    found = columns.average_precision(logits, labels).tolist()
    assert found == pytest.approx([0.5, nan, nan, 0.5], nan_ok=True)
    found = columns.accuracy(said, labels).tolist()
    assert found == pytest.approx([2 / 3, 3 / 4, nan, 2 / 3], nan_ok=True)
    # Column 1: predicted once, and never true.
    assert columns.f1(said, labels).tolist() == pytest.approx([2 / 3, 0, nan, 2 / 3], nan_ok=True)
    assert LABELS["roc_auc"](logits, labels).item() == pytest.approx(0.5)
    assert LABELS["accuracy"](logits, labels).item() == pytest.approx((2 / 3 + 3 / 4 + 2 / 3) / 3)


def test_numbers_by_hand():
    """Column 0: errors 1, 1, 0 about a mean of 2 with a variance of 2/3; column 1 is constant."""
    labels = torch.tensor([[1.0, 0.1], [2, 0.1], [3, 0.1], [torch.nan, 0.1]])
    outputs = torch.tensor([[2.0, 0.1], [1, 0.1], [3, 0.1], [8, 0.5]])
    assert NUMBERS["r2"](outputs, labels).item() == pytest.approx(1 - (2 / 3) / (2 / 3))
    assert NUMBERS["mae"](outputs, labels).item() == pytest.approx((2 / 3 + 0.1) / 2)
    assert NUMBERS["rmse"](outputs, labels).item() == pytest.approx(((2 / 3) ** 0.5 + 0.2) / 2)


@pytest.mark.parametrize("scorer", [*LABELS.values(), *NUMBERS.values()])
def test_columns_wait_for_nothing(scorer):
    with FakeTensorMode():
        value = scorer(torch.empty(30, 4), torch.empty(30, 4))
        assert (value.shape, value.dtype) == ((), torch.float64)


def test_each_task_has_its_metrics():
    for task, usual in USUAL.items():
        assert chosen(None, task).name == usual in of_task(task)
    with pytest.raises(
        InputError, match="metric: r2 is for regression; multilabel has accuracy, macro_f1"
    ):
        chosen("r2", "multilabel")
    with pytest.raises(InputError, match="accuracy is for classification and multilabel; regr"):
        chosen("accuracy", "regression")


def test_what_is_shown():
    assert METRICS["roc_auc"].title("test") == "test ROC-AUC (%)"
    assert METRICS["mae"].title("test") == "test MAE"
    assert METRICS["accuracy"].title("test") == "test (%)"
    assert METRICS["roc_auc"].shown(0.8125) == "81.2"
    assert METRICS["rmse"].shown(1234.56) == "1235"
    assert METRICS["roc_auc"].axis("Test") == "Test ROC-AUC (%)" and METRICS["roc_auc"].scale == 100
    assert METRICS["r2"].axis("Test") == "Test R²" and METRICS["r2"].scale == 1
    assert METRICS["roc_auc"].over_seeds({"mean": 0.8125, "std": 0.02}) == "81.2 ± 2.0"
    assert METRICS["r2"].over_seeds({"mean": -0.25, "std": 0.000034}) == "-0.2500 ± 0.0000"
    assert METRICS["mae"].over_seeds({"mean": 1234.5, "std": 56.7}) == "1234 ± 57"
    assert METRICS["mae"].over_seeds({"mean": 1.5e6, "std": 5678.0}) == "1.500e+06 ± 5.7e+03"
    assert METRICS["accuracy"].of_model({"accuracy": {"val": 1}}) == {"val": 1}
    assert METRICS["accuracy"].of_model({"val": 1}) == {"val": 1}
    assert {name for name, metric in METRICS.items() if metric.sign < 0} == {"mae", "rmse"}


def test_what_a_run_was_chosen_by():
    assert recorded({"metric": "rmse"}) is METRICS["rmse"]
    assert recorded({"seeds": [0]}) is METRICS["accuracy"]  # before there was a choice
