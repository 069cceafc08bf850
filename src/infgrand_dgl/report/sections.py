"""The sections of a run with pictures: training, influence, where and how far models are right."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from ..config.fields import Task
from ..config.schema import Config
from ..influence.scores import spread
from ..present.curves import draw_curves, draw_histogram
from ..training.metrics import Metric
from . import figures
from .content import Picture, Section, Table
from .predictions import Predictions
from .statistics import calibration, most_confused, quantile_bins, spearman

LARGEST_MATRIX = 20  # classes of a confusion matrix that is drawn
MOST_CONFUSED = 15
DOTS = 20_000  # of a scatter plot


def training(history: Sequence[Mapping[str, Any]], metric: Metric) -> Section:
    """The metric on the validation nodes, and loss, by epoch."""
    loss, axes = figures.axes_of("Epoch", "Training loss")
    draw_curves(axes, history, "loss")
    if all(row["loss"] > 0 for row in history):
        axes.set_yscale("log")
        axes.set_ylabel("Training loss (log scale)")
    figures.legend(loss)
    validation, axes = figures.axes_of("Epoch", metric.axis("Validation"))
    draw_curves(axes, history, f"val_{metric.name}", metric.scale)
    figures.legend(validation)
    label = metric.label[0].upper() + metric.label[1:]
    how = "thin: each seed, thick: their mean."
    pictures = [
        Picture.of(
            validation,
            f"Validation {metric.label} of each model by epoch",
            f"{label} on the validation nodes by epoch; {how}",
        ),
        Picture.of(
            loss,
            "Training loss of each model by epoch",
            f"Each model's own loss by epoch; {how}",
        ),
    ]
    return Section("Training", pictures=pictures)


def influence(scores: np.ndarray, degrees: np.ndarray, config: Config) -> Section:
    """Scores `[N]`, NaN where a node has none, beside the nodes' degrees."""
    i, hidden = config.influence, int(np.isnan(scores).sum())
    note = f"Measure: {i.measure}; normalization: {i.normalization}; hops: {i.hops}."
    if hidden:
        note += f" The {hidden:,} nodes that training did not see have no score."
    return Section(
        "Influence", note, pictures=[_histogram(scores), _by_neighbours(scores, degrees)]
    )


def _histogram(scores: np.ndarray) -> Picture:
    s = spread(torch.from_numpy(scores))
    figure, axes = figures.axes_of("Global influence score", "Nodes")
    draw_histogram(axes, torch.from_numpy(scores))
    q1, q2, q3 = s.quartiles
    return Picture.of(
        figure,
        "Histogram of the global influence scores",
        f"Scores of {int((~np.isnan(scores)).sum()):,} nodes: mean {s.mean:.3g}, quartiles "
        f"{q1:.3g}, {q2:.3g}, {q3:.3g}, coefficient of variation "
        f"{s.coefficient_of_variation:.3g}.",
    )


def _by_neighbours(scores: np.ndarray, degrees: np.ndarray) -> Picture:
    nodes, shown = np.flatnonzero(~np.isnan(scores)), "each node"
    if len(nodes) > DOTS:
        nodes = np.sort(np.random.default_rng(0).choice(nodes, DOTS, replace=False))
        shown = f"{len(nodes):,} nodes drawn at random"
    rho = spearman(scores[nodes], degrees[nodes])
    return Picture.of(
        figures.influence_by_degree(scores[nodes], degrees[nodes]),
        "Influence score against number of neighbours",
        f"Score of {shown} against its number of neighbours; Spearman's rank correlation "
        f"{'not defined' if rho is None else f'{rho:.2f}'}.",
    )


class Judged(NamedTuple):
    """How a node's prediction is judged, in the words of a section."""

    title: str
    word: str
    axis: str
    scale: float
    bars: str


JUDGED: dict[Task, Judged] = {
    "classification": Judged(
        "Where the models are right", "Accuracy", "Accuracy (%)", 100, "95% Wilson intervals"
    ),
    "multilabel": Judged(
        "Where the models are right",
        "Share of the labels that are right",
        "Labels that are right (%)",
        100,
        "95% intervals of the mean over nodes",
    ),
    "regression": Judged(
        "Where the models err",
        "Mean absolute error, in standard deviations of what is true,",
        "Error (standard deviations)",
        1,
        "95% intervals of the mean over nodes",
    ),
}


def accuracy(
    test: Predictions,
    scored: Predictions,
    scores: np.ndarray | None,
    degrees: np.ndarray,
    seed: int,
) -> Section:
    """Accuracy, or what the task has for it, by influence, where there are scores, and by degree.

    Args:
        test: of all test nodes.
        scored: of those that have a score.
    """
    pictures, judged = [], JUDGED[test.task]
    if scores is not None and len(scored.nodes):
        bins, names = _groups(scores[scored.nodes], 5, _score)
        which = "test nodes" if scored is test else "observed test nodes"
        pictures.append(
            Picture.of(
                _accuracy_by(scored, bins, names, "Global influence score"),
                f"{judged.word} of each model by influence score",
                f"{judged.word} on the {which} by influence score, in five groups of about as many "
                "nodes.",
            )
        )
    bins, names = _groups(degrees[test.nodes], 6, str)
    pictures.append(
        Picture.of(
            _accuracy_by(test, bins, names, "Neighbours"),
            f"{judged.word} of each model by number of neighbours",
            f"{judged.word} on the test nodes by number of neighbours in the whole graph.",
        )
    )
    note = f"Models of seed {seed}, the best student on validation; bars: {judged.bars}; n: nodes."
    return Section(judged.title, note, pictures=pictures)


def _groups(
    values: np.ndarray, count: int, text: Callable[[Any], str]
) -> tuple[list[np.ndarray], list[str]]:
    """Quantile bins of values `[n]`, and the range of each in words."""
    bins = quantile_bins(values, count)
    ends = [(text(values[rows].min()), text(values[rows].max())) for rows in bins]
    return bins, [low if low == high else f"{low}–{high}" for low, high in ends]


def _score(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:,.0f}"


def _accuracy_by(
    nodes: Predictions, bins: Sequence[np.ndarray], names: Sequence[str], xlabel: str
) -> Figure:
    groups = [f"{name}\nn = {len(rows):,}" for name, rows in zip(names, bins, strict=True)]
    if nodes.task != "classification":
        judged = JUDGED[nodes.task]
        scores = {
            model: [judged.scale * nodes.score(model)[rows] for rows in bins]
            for model in nodes.outputs
        }
        return figures.score_by(groups, scores, xlabel, judged.axis)
    correct = {
        model: [(int(nodes.correct(model)[rows].sum()), len(rows)) for rows in bins]
        for model in nodes.outputs
    }
    return figures.accuracy_by(groups, correct, xlabel)


def confidence(test: Predictions, classes: Sequence[str], seed: int) -> Section:
    """Confusions of the student, and calibration of every model.

    Args:
        classes: their names, by number.
    """
    predicted = test.outputs["student"].argmax(axis=1)
    matrix = confusion_matrix(test.labels, predicted, labels=range(len(classes)))
    tables, pictures = [], []
    if len(classes) > LARGEST_MATRIX:
        tables.append(_confusions(matrix, classes))
    else:
        pictures.append(
            Picture.of(
                figures.confusion_matrix(matrix, classes),
                "Confusion matrix of the student on the test nodes",
                "Test nodes by true class and the student's; the darker, the larger the share "
                "of the true class.",
            )
        )
    by_model = {model: calibration(p, test.labels) for model, p in test.outputs.items()}
    pictures.append(
        Picture.of(
            figures.reliability(by_model),
            "Reliability diagram of each model",
            "Accuracy against confidence on the test nodes in 15 bins, the larger the more nodes; "
            "on the dashed line a model is as often right as it says. ECE: expected calibration "
            "error.",
        )
    )
    note = f"Models of seed {seed}, the best student on validation."
    return Section("Confusions and calibration", note, tables=tables, pictures=pictures)


def _confusions(matrix: np.ndarray, classes: Sequence[str]) -> Table:
    sizes = matrix.sum(axis=1)
    rows = [
        [classes[i], classes[j], f"{n:,}", f"{100 * n / sizes[i]:.1f}"]
        for i, j, n in most_confused(matrix, MOST_CONFUSED)
    ]
    header = ["true class", "predicted", "nodes", "of the class (%)"]
    return Table(rows, header, "The student's most frequent confusions on the test nodes.")
