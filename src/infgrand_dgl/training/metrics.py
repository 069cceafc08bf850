"""What the best epoch is chosen by: `train.metric`.

Each is a tensor on the device of what it is made of, and nothing in it waits for a GPU: no shape
comes from values. Those that rank are one class against the others: in a task of two classes that
of class 1, else the mean over the classes (macro). Of several labels, or numbers, of a node each is
the mean over those of which it is defined.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ..config.fields import Task
from ..errors import InputError
from . import columns


@dataclass(frozen=True)
class Scorer:
    """How a metric comes of what a model of some task gives.

    Args:
        read: outputs for some nodes, `[b, C]`, to what is kept of each, `[b]` or `[b, ...]`.
        value: (what is kept of all nodes, their labels, C) to float64 `[]`; NaN where the labels
            leave it undefined.
        by_column: (what is kept, labels `[n, C]`) to float64 `[C]`, of which that is the mean; None
            for classes.
    """

    read: Callable[[Tensor], Tensor]
    value: Callable[[Tensor, Tensor, int], Tensor]
    by_column: Callable[[Tensor, Tensor], Tensor] | None = None

    def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Of outputs `[n, C]`."""
        return self.value(self.read(outputs), labels, outputs.shape[1])

    def of_largest_class(self, labels: Tensor, classes: int) -> float:
        """What predicting the most frequent of the labels, everywhere, is worth."""
        one = self.read(one_hot(labels.bincount().argmax(), classes).double()[None])
        return float(self.value(one.expand(len(labels), *one.shape[1:]), labels, classes))


def of_columns(read: Callable[[Tensor], Tensor], by_column: Callable[..., Tensor]) -> Scorer:
    """The mean over the columns where it is defined."""
    return Scorer(read, lambda kept, labels, C: columns.mean(by_column(kept, labels)), by_column)


@dataclass(frozen=True)
class Metric:
    """
    Args:
        label: within a sentence.
        scorers: how it comes about in each task that has it.
        percent: whether it is a share, and shown in percent.
        sign: -1 where less is better.
        needs: the labels of a part of the split without which it is undefined.
    """

    name: str
    label: str
    scorers: Mapping[Task, Scorer] = field(hash=False)
    percent: bool = True
    sign: int = 1
    needs: str = "labels"

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Which have it."""
        return tuple(self.scorers)

    def of(self, task: Task) -> Scorer:
        """
        Raises:
            InputError: the task does not have it.
        """
        if task not in self.scorers:
            raise InputError(
                f"train.metric: {self.name} is for {' and '.join(self.tasks)}; "
                f"{task} has {', '.join(of_task(task))}"
            )
        return self.scorers[task]

    def title(self, part: str) -> str:
        """Of a column of values on a part of the split; accuracy goes without saying."""
        named = part if self.name == "accuracy" else f"{part} {self.label}"
        return f"{named} (%)" if self.percent else named

    def axis(self, part: str) -> str:
        """Of an axis of values on a part of the split, `scale` times as large as they are kept."""
        return f"{part} {self.label} (%)" if self.percent else f"{part} {self.label}"

    @property
    def scale(self) -> int:
        return 100 if self.percent else 1

    def over_seeds(self, value: Mapping[str, float]) -> str:
        """Mean ± standard deviation, without the sign of a percentage."""
        if self.percent:
            return f"{self.shown(value['mean'])} ± {self.shown(value['std'])}"
        return " ± ".join(alike(value["mean"], value["std"]))

    def shown(self, value: float) -> str:
        """A value, without the sign of a percentage."""
        return f"{100 * value:.1f}" if self.percent else f"{value:.4g}"

    def of_model(self, metrics: Any) -> Any:
        """Its values by part of the split, of what `evaluate` found of a model."""
        return metrics.get(self.name, metrics)


def alike(mean: float, std: float) -> tuple[str, str]:
    """A number to four significant digits, and its deviation to as many decimals."""
    text = f"{mean:#.4g}".rstrip(".")
    decimals = len(text.partition(".")[2])
    return text, f"{std:.2g}" if "e" in text else f"{std:.{decimals}f}"


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


LABELS = "a label that some nodes have and others have not"

METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "accuracy",
            "accuracy",
            {
                "classification": Scorer(likeliest, accuracy),
                "multilabel": of_columns(columns.present, columns.accuracy),
            },
        ),
        Metric(
            "macro_f1",
            "macro-F1",
            {
                "classification": Scorer(likeliest, macro_f1),
                "multilabel": of_columns(columns.present, columns.f1),
            },
            needs="a label that some nodes have",
        ),
        Metric(
            "balanced_accuracy",
            "balanced accuracy",
            {"classification": Scorer(likeliest, balanced_accuracy)},
        ),
        Metric(
            "roc_auc",
            "ROC-AUC",
            {
                "classification": Scorer(against_others, roc_auc),
                "multilabel": of_columns(columns.as_they_are, columns.roc_auc),
            },
            needs=LABELS,
        ),
        Metric(
            "average_precision",
            "average precision",
            {
                "classification": Scorer(against_others, average_precision),
                "multilabel": of_columns(columns.as_they_are, columns.average_precision),
            },
            needs=LABELS,
        ),
        Metric(
            "r2",
            "R²",
            {"regression": of_columns(columns.as_they_are, columns.r2)},
            percent=False,
            needs="numbers that differ",
        ),
        Metric(
            "mae",
            "MAE",
            {"regression": of_columns(columns.as_they_are, columns.mae)},
            percent=False,
            sign=-1,
        ),
        Metric(
            "rmse",
            "RMSE",
            {"regression": of_columns(columns.as_they_are, columns.rmse)},
            percent=False,
            sign=-1,
        ),
    )
}

USUAL: dict[Task, str] = {
    "classification": "accuracy",
    "multilabel": "roc_auc",
    "regression": "r2",
}


def of_task(task: Task) -> list[str]:
    """The metrics that a task has, by name."""
    return [name for name, metric in METRICS.items() if task in metric.scorers]


def chosen(name: str | None, task: Task) -> Metric:
    """By `train.metric`; None is the task's usual one.

    Raises:
        InputError: the task does not have it.
    """
    metric = METRICS[name or USUAL[task]]
    metric.of(task)
    return metric


def recorded(metrics: Mapping[str, Any]) -> Metric:
    """By what a run's epochs were chosen, by its metrics.json; accuracy where an older one does not
    say."""
    return METRICS[metrics.get("metric", "accuracy")]
