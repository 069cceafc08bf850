"""What predictions of several labels, or numbers, of each node are worth, column by column.

Labels are float32 `[n, C]`, NaN where one is not known: that has no part in anything. Each function
gives float64 `[C]`, NaN where the known labels leave it undefined, and waits for no GPU.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad


def as_they_are(outputs: Tensor) -> Tensor:
    """At least float32, `[b, C]`."""
    return outputs.to(torch.promote_types(outputs.dtype, torch.float32))


def present(logits: Tensor) -> Tensor:
    """Whether a label is likelier than not, bool `[b, C]`."""
    return logits > 0


def mean(columns: Tensor) -> Tensor:
    """Of the columns where it is defined, `[C]` to `[]`; NaN where it is nowhere."""
    defined = ~columns.isnan()
    return columns.nan_to_num().sum() / defined.sum()


def by_column(of_column: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """A function of one column's predictions and labels, `[n]` each, of one after the other: what
    it holds in between is not C times as large."""

    def columns(predicted: Tensor, labels: Tensor) -> Tensor:
        pairs = zip(predicted.unbind(1), labels.unbind(1), strict=True)
        return torch.stack([of_column(p.contiguous(), y) for p, y in pairs])

    return columns


@by_column
def accuracy(predicted: Tensor, labels: Tensor) -> Tensor:
    """Share of the known labels that are predicted."""
    return _mean((predicted == (labels > 0)).double(), ~labels.isnan())


@by_column
def f1(predicted: Tensor, labels: Tensor) -> Tensor:
    """2·TP / (2·TP + FP + FN) of the label's presence; undefined where that is neither true nor
    predicted of a node."""
    true, said = labels > 0, predicted & ~labels.isnan()
    return 2 * (true & said).double().sum() / (true.double().sum() + said.double().sum())


def _below(s: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """How many of the counted scores, `s` ascending, are less than each, and how many are no more;
    float64."""
    sums = pad(counted.double().cumsum(0), (1, 0))
    return sums[torch.searchsorted(s, s)], sums[torch.searchsorted(s, s, right=True)]


@by_column
def roc_auc(scores: Tensor, labels: Tensor) -> Tensor:
    """Share of the pairs of a node with the label and one without that are in order; ties count
    half."""
    s, order = scores.sort()
    y = labels[order]
    positive, negative = (y > 0).double(), y == 0
    less, no_more = _below(s, negative)
    return (positive * (less + no_more)).sum() / (2 * positive.sum() * negative.double().sum())


@by_column
def average_precision(scores: Tensor, labels: Tensor) -> Tensor:
    r"""$\sum_k (R_k - R_{k-1}) P_k$ over the thresholds: the mean, over the nodes with the label,
    of the precision among those that score no less. Undefined where all or none have it."""
    s, order = scores.sort()
    y = labels[order]
    positive, known = y > 0, ~y.isnan()
    P, K = positive.double().sum(), known.double().sum()
    above = P - _below(s, positive)[0]
    precision = above / (K - _below(s, known)[0]).clamp(min=1)
    value = (positive.double() * precision).sum() / P
    return torch.where(P < K, value, torch.nan)


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    return torch.where(counted, values, 0.0).sum() / counted.double().sum()


@by_column
def r2(predicted: Tensor, labels: Tensor) -> Tensor:
    r"""$1 - \sum_i (y_i - \hat y_i)^2 / \sum_i (y_i - \bar y)^2$; undefined of equal labels."""
    y, known = labels.double(), ~labels.isnan()
    residual = _mean((y - predicted) ** 2, known)
    variance = _mean((y - _mean(y, known)) ** 2, known)
    differ = y.nan_to_num(nan=-torch.inf).amax() > y.nan_to_num(nan=torch.inf).amin()
    return torch.where(differ, 1 - residual / variance, torch.nan)


@by_column
def mae(predicted: Tensor, labels: Tensor) -> Tensor:
    r"""Mean of $|y_i - \hat y_i|$."""
    return _mean((labels.double() - predicted).abs(), ~labels.isnan())


@by_column
def rmse(predicted: Tensor, labels: Tensor) -> Tensor:
    r"""$\sqrt{\mathrm{mean}_i (y_i - \hat y_i)^2}$."""
    return _mean((labels.double() - predicted) ** 2, ~labels.isnan()).sqrt()
