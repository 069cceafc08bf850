"""What the best epoch is chosen by: `train.metric`.

Each is a tensor on the device of what it is made of, and nothing in it waits for a GPU: no shape
comes from values. Those that rank are one class against the others: in a task of two classes that
of class 1, else the mean over the classes (macro).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot


@dataclass(frozen=True)
class Metric:
    """
    Args:
        label: within a sentence.
        read: logits of some nodes, `[b, C]`, to what is kept of each, `[b]` or `[b, ...]`.
        value: (what is kept of all nodes, their labels int64 `[n]`, C) to float64 `[]`; NaN where
            the labels leave it undefined.
    """

    name: str
    label: str
    read: Callable[[Tensor], Tensor]
    value: Callable[[Tensor, Tensor, int], Tensor]

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of logits `[n, C]`."""
        return self.value(self.read(logits), labels, logits.shape[1])

    def of_largest_class(self, labels: Tensor, classes: int) -> float:
        """What predicting the most frequent of the labels, everywhere, is worth."""
        one = self.read(one_hot(labels.bincount().argmax(), classes).double()[None])
        return float(self.value(one.expand(len(labels), *one.shape[1:]), labels, classes))

    def title(self, part: str) -> str:
        """Of a column of percentages on a part of the split; accuracy goes without saying."""
        return f"{part} (%)" if self.name == "accuracy" else f"{part} {self.label} (%)"

    def of_model(self, metrics: Any) -> Any:
        """Its values by part of the split, of what `evaluate` found of a model."""
        return metrics if self.name == "accuracy" else metrics[self.name]


def likeliest(logits: Tensor) -> Tensor:
    """int64 `[b]`."""
    return logits.argmax(dim=1)


def accuracy(predicted: Tensor, labels: Tensor, classes: int = 0) -> Tensor:
    """Share of the predicted classes, int64 `[n]`, that are the labels, `[n]`; float64 `[]`."""
    return (predicted == labels).double().mean()


def _counts(predicted: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """By class, float64 `[C]`: nodes it is rightly predicted of, predicted of, and true of."""
    ones, zeros = labels.new_ones(len(labels)).double(), labels.new_zeros(classes).double()
    right = zeros.scatter_add(0, labels, (predicted == labels).double())
    return right, zeros.scatter_add(0, predicted, ones), zeros.scatter_add(0, labels, ones)


def macro_f1(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Mean of 2·TP / (2·TP + FP + FN) over the classes that are true or predicted of a node."""
    right, said, true = _counts(predicted, labels, classes)
    return (2 * right / (said + true).clamp(min=1)).sum() / (said + true > 0).sum()


def balanced_accuracy(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Mean recall of the classes that are true of a node."""
    right, _, true = _counts(predicted, labels, classes)
    return (right / true.clamp(min=1)).sum() / (true > 0).sum()


def against_others(logits: Tensor) -> Tensor:
    """What ranks the nodes, float64: log p of every class, `[b, C]`; of two the odds, `[b, 1]`."""
    if logits.shape[1] == 2:
        return logits[:, 1:].double() - logits[:, :1]
    return logits.double().log_softmax(dim=1)


def _macro(of_class: Callable[[Tensor, Tensor], Tensor], scores: Tensor, labels: Tensor) -> Tensor:
    """The mean of (ascending scores, whether they are of the class) over the classes of which there
    are nodes, and others."""
    values, defined = [], []
    for k in range(scores.shape[1]):
        positive = labels == (k if scores.shape[1] > 1 else 1)
        s, order = scores[:, k].contiguous().sort()
        values.append(of_class(s, positive[order].double()))
        defined.append(positive.any() & ~positive.all())
    return torch.where(torch.stack(defined), torch.stack(values), 0.0).sum() / sum(defined)


def _roc_auc(s: Tensor, y: Tensor) -> Tensor:
    """Share of the pairs of a node of the class and another that are in order; ties count half."""
    first, end = torch.searchsorted(s, s), torch.searchsorted(s, s, right=True)
    ranks, P = (first + end + 1).double() / 2, y.sum()  # from 1; tied ones share theirs
    return ((ranks * y).sum() - P * (P + 1) / 2) / (P * (len(y) - P))


def _average_precision(s: Tensor, y: Tensor) -> Tensor:
    r"""$\sum_k (R_k - R_{k-1}) P_k$ over the thresholds: the mean, over the nodes of the class, of
    the precision among those that score no less."""
    first, P = torch.searchsorted(s, s), y.sum()
    above = P - (y.cumsum(0) - y)[first]
    return (y * above / (len(y) - first)).sum() / P


def roc_auc(scores: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Area under the ROC curve, from `against_others`."""
    return _macro(_roc_auc, scores, labels)


def average_precision(scores: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Average precision, the step-wise area under precision against recall."""
    return _macro(_average_precision, scores, labels)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy", likeliest, accuracy),
        Metric("macro_f1", "macro-F1", likeliest, macro_f1),
        Metric("balanced_accuracy", "balanced accuracy", likeliest, balanced_accuracy),
        Metric("roc_auc", "ROC-AUC", against_others, roc_auc),
        Metric("average_precision", "average precision", against_others, average_precision),
    )
}
