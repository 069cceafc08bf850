"""What chooses the best epoch, against scikit-learn and by hand."""

from typing import get_args

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch._subclasses.fake_tensor import FakeTensorMode

from infgrand_dgl.config.fields import MetricName
from infgrand_dgl.training.metrics import METRICS


def drawn(n, classes, ties):
    """Logits `[n, C]`, and labels of every class."""
    logits = 3 * torch.randn(n, classes)
    labels = torch.cat([torch.arange(classes), torch.randint(classes, (n - classes,))])
    return (logits.round() if ties else logits), labels[torch.randperm(n)]


def by_sklearn(logits, labels):
    classes = logits.shape[1]
    predicted, y = logits.argmax(1).numpy(), labels.numpy()
    scores = logits.double().log_softmax(1).numpy()
    if classes == 2:
        truth, scores = y, (logits[:, 1].double() - logits[:, 0]).numpy()
    else:
        truth = np.eye(classes)[y]
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
    found = {k: m(logits.to(device), labels.to(device)).item() for k, m in METRICS.items()}
    assert found == pytest.approx(by_sklearn(logits, labels), abs=1e-12)


def test_every_one_can_be_configured():
    assert set(METRICS) == set(get_args(MetricName))


@pytest.mark.parametrize("name", METRICS)
def test_no_number_is_read_and_no_shape_depends_on_one(name):
    """A fake tensor has no values: whatever asks for one, as a GPU is waited for, raises."""
    with FakeTensorMode():
        for classes in (2, 5):
            value = METRICS[name](torch.empty(30, classes), torch.empty(30, dtype=torch.long))
            assert (value.shape, value.dtype) == ((), torch.float64)


def test_a_class_that_is_missing_has_no_part_in_a_mean():
    """Classes 0 and 2 of 4; 3 is predicted, so macro-F1 counts it."""
    logits = torch.tensor([[4.0, 0, 1, 0], [3, 0, 1, 0], [2, 0, 1, 0], [0, 0, 0, 1]])
    labels = torch.tensor([0, 0, 2, 2])
    found = {name: metric(logits, labels).item() for name, metric in METRICS.items()}
    assert found["macro_f1"] == pytest.approx((0.8 + 0 + 0) / 3)
    assert found["balanced_accuracy"] == pytest.approx(1 / 2)
    assert found["roc_auc"] == pytest.approx((1 + by_pairs(logits, labels == 2, 2)) / 2)


def by_pairs(logits, positive, k):
    s = logits.double().log_softmax(1)[:, k]
    differences = s[positive][:, None] - s[~positive]
    return ((differences > 0).double() + 0.5 * (differences == 0)).mean().item()


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_undefined_of_one_class(name):
    assert METRICS[name](torch.randn(5, 2), torch.zeros(5, dtype=torch.long)).isnan()


def test_confident_nodes_are_still_ranked():
    """Odds of e^30 and e^40 are one probability in float32."""
    logits = torch.tensor([[0.0, 30.0], [0.0, 40.0], [5.0, 0.0]])
    assert METRICS["roc_auc"](logits, torch.tensor([0, 1, 0])) == 1


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("classes", [2, 4])
def test_the_largest_class(name, classes):
    """Equals the metric of constant logits."""
    labels = torch.cat([torch.full((9,), classes - 1), torch.arange(classes)])
    logits = torch.zeros(len(labels), classes)
    logits[:, classes - 1] = 1
    found = METRICS[name].of_largest_class(labels, classes)
    assert found == pytest.approx(by_sklearn(logits, labels)[name])
