"""The sections of a run whose nodes have several labels, or numbers: column by column."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..present.style import look
from ..training.metrics import METRICS, Metric
from . import figures
from .content import Picture, Section, Table
from .predictions import Predictions
from .statistics import calibration_of_labels

LABELS_SHOWN = 20
NUMBERS_SHOWN = 6
RANKINGS = ("roc_auc", "average_precision")
ERRORS = ("r2", "mae", "rmse")

Metrics = Mapping[str, Any]


def labels(metrics: Metrics, test: Predictions, names: Sequence[str], seed: int) -> Section:
    """How well each label is told, the most frequent first, and how far probabilities can be
    trusted.

    Args:
        test: of the test nodes by the models of `seed`.
        names: of the labels, `[C]`.
    """
    known, positive = (~np.isnan(test.labels)).sum(axis=0), np.nansum(test.labels, axis=0)
    shown = np.argsort(-positive, kind="stable")[:LABELS_SHOWN]
    share = positive / np.maximum(1, known)
    counts = [[f"{int(positive[k]):,} of {known[k]:,}"] for k in shown]
    table = _table(metrics, test, names, shown, RANKINGS, ["label", "positives"], counts)
    which = _which(len(shown), len(names), "labels", "the most frequent")
    caption = f"{which}: test nodes that have it, of those of which that is known (seed {seed}); "
    pictures = [
        _by_label(metrics, test, [names[k] for k in shown], shown, name, chance)
        for name, chance in zip(RANKINGS, (0.5, share[shown]), strict=True)
        if any(_of_columns(metrics, model, name) for model in test.outputs)
    ]
    by_model = {model: calibration_of_labels(p, test.labels) for model, p in test.outputs.items()}
    pictures.append(
        Picture.of(
            figures.reliability(by_model, "Probability of a label (%)", "Nodes that have it (%)"),
            "Reliability diagram of each model",
            "How often a label is there against how probable it was said to be, over all labels of "
            "the test nodes, in 15 bins, the larger the more; on the dashed line both are the "
            "same. ECE: expected calibration error.",
        )
    )
    note = f"Reliability: models of seed {seed}, the best student on validation."
    tables = [Table(table.rows, table.header, caption + _over(metrics))]
    return Section("Labels and calibration", note, tables=tables, pictures=pictures)


def numbers(metrics: Metrics, test: Predictions, names: Sequence[str], seed: int) -> Section:
    """Predictions against what is true, and how residuals spread.

    Args:
        test: of the test nodes by the models of `seed`.
        names: of the columns, `[C]`.
    """
    shown = np.arange(len(names))[:NUMBERS_SHOWN]
    known = (~np.isnan(test.labels)).sum(axis=0)
    which = _which(len(shown), len(names), "target columns", "the first")
    counts = [[f"{known[k]:,}"] for k in shown]
    errors = _table(metrics, test, names, shown, ERRORS, ["column", "test nodes"], counts)
    pictures = [_against_true(test, k, names[k]) for k in shown if known[k]]
    spread = {
        model: (test.residuals(model) / test.spread())[~np.isnan(test.labels)]
        for model in test.outputs
    }
    pictures.append(
        Picture.of(
            figures.residuals(spread, "Residual (standard deviations)"),
            "Spread of each model's residuals",
            "What the models say more than is true on the test nodes, over all columns, in "
            "standard deviations of what is true: median, middle half, and 5% to 95%.",
        )
    )
    tables = [
        Table(errors.rows, errors.header, f"{which}; {_over(metrics)}"),
        Table(
            [
                [names[k], look(model).label, *_spread(test.residuals(model)[:, k])]
                for k in shown
                if known[k]
                for model in test.outputs
            ],
            ["column", "model", "mean", "standard deviation", "5%", "median", "95%"],
            f"Residuals on the test nodes, predicted less true (seed {seed}).",
        ),
    ]
    note = f"Pictures and residuals: models of seed {seed}, the best student on validation."
    return Section("Predictions and residuals", note, tables=tables, pictures=pictures)


def _which(shown: int, count: int, columns: str, how: str) -> str:
    return f"All {count} {columns}" if shown == count else f"{shown} of {count} {columns}, {how}"


def _over(metrics: Metrics) -> str:
    """The end of a caption of means over the seeds."""
    seeds = len(metrics["seeds"])
    over = f" ± standard deviation over {seeds} seeds" if seeds > 1 else ""
    return f"metrics on the test nodes{over}; –: not defined."


def _table(
    metrics: Metrics,
    test: Predictions,
    names: Sequence[str],
    shown: np.ndarray,
    chosen: Sequence[str],
    first: Sequence[str],
    counts: Sequence[Sequence[str]],
) -> Table:
    """A row for each shown column: its name, its count, and each metric of each model."""
    found = {
        (name, model): values
        for name in chosen
        for model in test.outputs
        if (values := _of_columns(metrics, model, name))
    }
    header = [*first, *(METRICS[name].title(look(model).label) for name, model in found)]
    rows = [
        [names[k], *counted, *(_cell(METRICS[n], values, k) for (n, _), values in found.items())]
        for k, counted in zip(shown, counts, strict=True)
    ]
    return Table(rows, header)


def _of_columns(metrics: Metrics, model: str, name: str) -> dict[str, list[float | None]]:
    """Mean and standard deviation of a metric on the test nodes, `[C]`; empty without it."""
    return metrics[model]["per_class"].get(name, {}).get("test", {})


def _cell(metric: Metric, values: Mapping[str, Sequence[float | None]], column: int) -> str:
    mean, std = values["mean"][column], values["std"][column]
    return "–" if mean is None or std is None else metric.over_seeds({"mean": mean, "std": std})


def _by_label(
    metrics: Metrics,
    test: Predictions,
    names: Sequence[str],
    shown: np.ndarray,
    name: str,
    chance: np.ndarray | float,
) -> Picture:
    metric, values = METRICS[name], {}
    for model in test.outputs:
        if found := _of_columns(metrics, model, name):
            mean, std = (np.array(found[key], dtype=float)[shown] for key in ("mean", "std"))
            values[model] = metric.scale * mean, metric.scale * std
    return Picture.of(
        figures.by_label(names, values, metric.axis("Test"), metric.scale * chance),
        f"Test {metric.label} of each model by label",
        f"Test {metric.label} by label; grey: what chance gives.",
    )


def _against_true(test: Predictions, column: int, name: str) -> Picture:
    known = ~np.isnan(test.labels[:, column])
    true, said = test.labels[known, column], test.outputs["student"][known, column]
    return Picture.of(
        figures.against_true(true, said),
        f"The student's predictions of {name} against the true values",
        f"Column {name}: the student's predictions on {known.sum():,} test nodes against the true "
        "values; dashed: where both are the same.",
    )


def _spread(residuals: np.ndarray) -> list[str]:
    """Mean, standard deviation, and percentiles of the known residuals `[n]`."""
    known = residuals[~np.isnan(residuals)]
    values = [known.mean(), known.std(), *np.percentile(known, [5, 50, 95])]
    return [f"{value:.4g}".replace("-", "−") for value in values]
