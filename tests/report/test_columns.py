"""Several labels, or numbers, of each node: what is shown of each column, by hand."""

from typing import Any

import numpy as np
import pytest
import torch

from infgrand_dgl.present.style import data_uri
from infgrand_dgl.report import columns, figures
from infgrand_dgl.report.predictions import Predictions
from infgrand_dgl.report.statistics import calibration_of_labels
from infgrand_dgl.training.metrics import METRICS


def predictions(task, labels, **outputs):
    return Predictions(np.arange(len(labels)), labels, outputs, task)


def of_runs(test, *names):
    """The part of metrics.json that is told column by column; of two seeds that agree."""
    metrics: dict[str, Any] = {"seeds": [1, 2]}
    labels = torch.from_numpy(test.labels)
    for model, outputs in test.outputs.items():
        metrics[model] = {"per_class": {}}
        for name in names:
            scorer: Any = METRICS[name].of(test.task)
            found = scorer.by_column(scorer.read(torch.from_numpy(outputs)), labels).tolist()
            mean = [None if np.isnan(v) else v for v in found]
            std = [None if v is None else 0.0 for v in mean]
            metrics[model]["per_class"][name] = {"test": {"mean": mean, "std": std}}
    return metrics


def cells(table):
    return [list(row) for row in table.rows]


def test_the_most_frequent_labels_first():
    """Of 30 labels 20; label k has k + 1 of 40 known nodes."""
    labels = (np.arange(40)[:, None] <= np.arange(30)).astype(np.float32)
    labels = np.concatenate([labels, np.full((5, 30), np.nan, np.float32)])
    teacher = np.random.rand(45, 30).astype(np.float32)
    student = np.where(labels == 1, 0.9, 0.1).astype(np.float32)
    test = predictions("multilabel", labels, teacher=teacher, student=student)
    metrics = of_runs(test, "roc_auc", "average_precision")
    section = columns.labels(metrics, test, [f"L{k}" for k in range(30)], 1)
    (table,) = section.tables
    assert list(table.header) == [
        "label",
        "positives",
        "Teacher ROC-AUC (%)",
        "Student ROC-AUC (%)",
        "Teacher average precision (%)",
        "Student average precision (%)",
    ]
    rows = cells(table)
    assert [row[0] for row in rows] == [f"L{k}" for k in range(29, 9, -1)]
    assert rows[0][1] == "30 of 40" and rows[-1][1] == "11 of 40"
    assert {(row[3], row[5]) for row in rows} == {("100.0 ± 0.0", "100.0 ± 0.0")}
    wins = np.subtract.outer(teacher[:30, 29], teacher[30:40, 29])
    assert rows[0][2] == f"{100 * ((wins > 0).mean() + (wins == 0).mean() / 2):.1f} ± 0.0"
    assert table.caption.startswith("20 of 30 labels, the most frequent:")
    assert len(section.pictures) == 3


def test_a_label_that_all_nodes_have_is_not_ranked():
    labels = np.array([[1, 1], [1, 0], [1, np.nan]], np.float32)
    test = predictions("multilabel", labels, student=np.array([[0.8, 0.7]] * 3, np.float32))
    rows = cells(columns.labels(of_runs(test, "roc_auc"), test, ["a", "b"], 1).tables[0])
    assert rows == [["a", "3 of 3", "–"], ["b", "1 of 2", "50.0 ± 0.0"]]


def test_nodes_are_scored_by_their_known_labels():
    labels = np.array([[1, 0, np.nan], [0, 0, 1]], np.float32)
    said = np.array([[0.9, 0.8, 0.1], [0.2, 0.4, 0.6]], np.float32)
    assert predictions("multilabel", labels, m=said).score("m").tolist() == [0.5, 1.0]
    numbers = np.array([[1, 10], [3, np.nan], [5, 30]], np.float32)  # deviations √(8/3) and 10
    said = numbers + np.array([[1, -5], [2, 7], [-3, 0]], np.float32)
    scores = predictions("regression", numbers, m=said).score("m")
    d = np.sqrt(8 / 3)
    assert scores == pytest.approx([(1 / d + 0.5) / 2, 2 / d, (3 / d + 0) / 2])
    equal = predictions("regression", np.ones((3, 1), np.float32), m=np.zeros((3, 1), np.float32))
    assert equal.score("m").tolist() == [1, 1, 1]  # there is no deviation to divide by


def test_probabilities_of_labels_against_how_often_they_are_there():
    labels = np.array([[1, 0], [0, np.nan], [1, 1]], np.float32)
    said = np.array([[0.62, 0.02], [0.64, 0.99], [0.98, 0.04]], np.float32)
    found = calibration_of_labels(said, labels)
    assert found.nodes.tolist() == [2, 2, 1]
    assert found.confidence == pytest.approx([0.03, 0.63, 0.98])
    assert found.accuracy == pytest.approx([0.5, 0.5, 1])


def test_residuals_of_each_column():
    """Of eight columns six; the third is known of no node."""
    n = 500
    true = np.random.randn(n, 8).astype(np.float32) * 10 ** np.arange(8, dtype=np.float32)
    true[:, 2] = np.nan
    true[:7, 0] = np.nan
    said = np.random.randn(n, 8).astype(np.float32)
    test = predictions("regression", true, teacher=said, student=2 * said)
    section = columns.numbers(of_runs(test, "r2", "mae"), test, [*"abcdefgh"], 4)
    errors, residuals = section.tables
    assert list(errors.header) == ["column", "test nodes", "Teacher R²", "Student R²", *
                                   ("Teacher MAE", "Student MAE")]  # fmt: skip
    assert errors.caption.startswith("6 of 8 target columns, the first;")
    rows = cells(errors)
    assert [row[:2] for row in rows[:3]] == [["a", "493"], ["b", "500"], ["c", "0"]]
    assert rows[2][2:] == ["–"] * 4
    mae = np.abs(2 * said[:, 1] - true[:, 1]).astype(float).mean()
    assert float(rows[1][5].split(" ± ")[0]) == pytest.approx(mae, rel=1e-3)
    spread = {(row[0], row[1]): row[2:] for row in cells(residuals)}
    assert len(spread) == 10 and ("c", "Student") not in spread
    d = said[7:, 0].astype(float) - true[7:, 0]
    expected = [d.mean(), d.std(), *np.percentile(d, [5, 50, 95])]
    found = [float(text.replace("−", "-")) for text in spread["a", "Teacher"]]
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert len(section.pictures) == 5 + 1


@pytest.mark.parametrize("count", [1, 60, figures.MANY + 1])
def test_predicted_against_true(count):
    true = np.random.rand(count) * 40 - 20
    predicted = true + 1
    figure = figures.against_true(true, predicted)
    axes = figure.axes[0]
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_xlim()[0] < true.min() and axes.get_xlim()[1] > predicted.max()
    shown: Any = axes.collections[0]
    if count > figures.MANY:
        assert shown.get_array().sum() == pytest.approx(count)
    else:
        assert np.asarray(shown.get_offsets()) == pytest.approx(np.stack([true, predicted], 1))
    assert data_uri(figure) == data_uri(figures.against_true(true, predicted))


def test_one_number_alone_is_drawn():
    (axes,) = figures.against_true(np.array([3.0]), np.array([3.0])).axes  # warnings are errors
    low, high = axes.get_xlim()
    assert low < 3 < high and axes.get_ylim() == (low, high)


def test_means_of_groups_have_their_intervals():
    groups = [np.array([1.0, 3.0, 5.0]), np.array([4.0])]
    (axes,) = figures.score_by(["a", "b"], {"student": groups}, "Neighbours", "Error").axes
    container: Any = axes.containers[0]
    points, _, (bars,) = container.lines
    assert points.get_ydata().tolist() == [3, 4]
    half = 1.96 * 2 / np.sqrt(3)
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    assert ends == [pytest.approx([3 - half, 3 + half]), [4, 4]]


def test_residuals_are_drawn_by_their_percentiles():
    values = np.random.permutation(np.arange(101.0))
    (axes,) = figures.residuals({"teacher": values, "student": -values}, "x").axes
    drawn: list[Any] = list(axes.collections)
    lines = [segment[:, 0].tolist() for c in drawn for segment in c.get_segments()]
    assert lines == [[5, 95], [25, 75], [-95, -5], [-75, -25]]
    medians: list[Any] = axes.get_lines()[:2]
    assert [line.get_xdata()[0] for line in medians] == [50, -50]
