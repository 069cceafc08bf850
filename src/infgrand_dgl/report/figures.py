"""The pictures of a report, all of one width so that they stand in a grid."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import binomtest

from ..present.style import BLACK, BLUE, RC, look, subplots
from .statistics import Calibration

WIDTH, HEIGHT, SQUARE = 4.4, 3.1, 3.9  # inches
NAME = 12  # letters of a class's name on an axis
MANY = 2000  # nodes that are counted in a picture rather than drawn one by one


def axes_of(xlabel: str, ylabel: str, height: float = HEIGHT) -> tuple[Figure, Axes]:
    figure, axes = subplots(width=WIDTH, height=height)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    return figure, axes


def legend(figure: Figure, columns: int = 4) -> None:
    """Above the axes, where it hides nothing."""
    figure.legend(loc="outside upper center", ncols=columns, frameon=False, fontsize=8.5)


def influence_by_degree(scores: np.ndarray, degrees: np.ndarray) -> Figure:
    """One dot per node, as a bitmap."""
    figure, axes = axes_of("Neighbours (log scale)", "Global influence score")
    axes.scatter(degrees, scores, s=7, alpha=0.3, color=BLUE, linewidths=0, rasterized=True)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(left=-0.2 if (degrees == 0).any() else 0.8)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return figure


def accuracy_by(
    groups: Sequence[str], correct: Mapping[str, Sequence[tuple[int, int]]], xlabel: str
) -> Figure:
    """Accuracy of each model in each group, with Wilson's 95% intervals.

    Args:
        correct: by model: of each group how many are right, of how many.
    """
    values = {}
    for model, counts in correct.items():
        tests = [binomtest(r, n) for r, n in counts]
        share = np.array([test.statistic for test in tests])
        low, high = np.array([test.proportion_ci(method="wilson") for test in tests]).T
        values[model] = 100 * share, 100 * np.abs([low - share, high - share])
    return _of_groups(groups, values, xlabel, "Accuracy (%)")


def score_by(
    groups: Sequence[str], scores: Mapping[str, Sequence[np.ndarray]], xlabel: str, ylabel: str
) -> Figure:
    """Mean score of each model in each group of nodes, with 95% intervals of the mean.

    Args:
        scores: by model: of each group those of its nodes.
    """
    values = {
        model: (
            np.array([of.mean() for of in by_group]),
            np.array([1.96 * of.std(ddof=len(of) > 1) / len(of) ** 0.5 for of in by_group]),
        )
        for model, by_group in scores.items()
    }
    return _of_groups(groups, values, xlabel, ylabel)


def _of_groups(
    groups: Sequence[str],
    values: Mapping[str, tuple[np.ndarray, np.ndarray]],
    xlabel: str,
    ylabel: str,
) -> Figure:
    """A mark of each model in each group, and what it reaches up and down.

    Args:
        values: by model: of each group, and how far its interval goes, `[n]` or `[2, n]`.
    """
    figure, axes = axes_of(xlabel, ylabel)
    for k, (model, (middle, reach)) in enumerate(values.items()):
        shown = look(model)
        axes.errorbar(
            np.arange(len(groups)) + 0.14 * (k - (len(values) - 1) / 2),
            middle,
            yerr=reach,
            color=shown.color,
            marker=shown.marker,
            capsize=RC["errorbar.capsize"],
            linewidth=0,
            elinewidth=1.2,
            label=shown.label,
        )
    axes.set_xticks(range(len(groups)), groups, fontsize=8)
    axes.margins(x=0.06)
    axes.grid(axis="y")
    legend(figure)
    return figure


def by_label(
    names: Sequence[str],
    values: Mapping[str, tuple[np.ndarray, np.ndarray]],
    xlabel: str,
    chance: np.ndarray | float,
) -> Figure:
    """A line for each label, and on it each model's mean and standard deviation, `[C]`.

    Args:
        chance: what knowing nothing gives, of each label or of all.
    """
    figure, axes = axes_of(xlabel, "", max(2.0, 0.22 * len(names) + 1.2))
    y = np.arange(len(names))
    axes.scatter(chance + 0 * y, y, color="#999999", marker="|", s=40, label="Chance")
    for k, (model, (mean, std)) in enumerate(values.items()):
        shown = look(model)
        axes.errorbar(
            mean,
            y + 0.16 * (k - (len(values) - 1) / 2),
            xerr=std,
            fmt=shown.marker,
            color=shown.color,
            markersize=3.5,
            elinewidth=0.8,
            capsize=0,
            label=shown.label,
        )
    axes.set_yticks(y, [_short(name) for name in names], fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    legend(figure, 3)
    return figure


def against_true(true: np.ndarray, predicted: np.ndarray) -> Figure:
    """One dot per node, or where there are many how many there are, on a logarithmic scale."""
    figure, axes = axes_of("True", "Predicted", SQUARE)
    low, high = min(true.min(), predicted.min()), max(true.max(), predicted.max())
    margin = 0.04 * (high - low) or 1.0
    ends = (low - margin, high + margin)
    axes.plot(ends, ends, color="#999999", linewidth=0.8, linestyle="--")
    if len(true) > MANY:
        extent = (*ends, *ends)
        cells = axes.hexbin(
            true, predicted, gridsize=40, extent=extent, bins="log", mincnt=1, cmap="Blues"
        )
        figure.colorbar(cells, ax=axes, label="Nodes", shrink=0.8)
    else:
        axes.scatter(true, predicted, s=7, alpha=0.4, color=BLUE, linewidths=0, rasterized=True)
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    return figure


def residuals(by_model: Mapping[str, np.ndarray], xlabel: str) -> Figure:
    """Median, middle half, and 5% to 95% of each model's residuals."""
    figure, axes = axes_of(xlabel, "", 0.35 * len(by_model) + 1.0)
    for k, (model, values) in enumerate(by_model.items()):
        shown = look(model)
        low, q1, median, q3, high = np.percentile(values, [5, 25, 50, 75, 95])
        axes.hlines(k, low, high, color=shown.color, linewidth=1)
        axes.hlines(k, q1, q3, color=shown.color, linewidth=5, alpha=0.6)
        axes.plot(median, k, marker=shown.marker, color=BLACK, linewidth=0)
    axes.axvline(0, color="#999999", linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(by_model)), [look(model).label for model in by_model])
    axes.set_ylim(len(by_model) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    return figure


def confusion_matrix(matrix: np.ndarray, classes: Sequence[str] = ()) -> Figure:
    """Counts, shaded by their share of the row.

    Args:
        classes: their names; numbers are left to the axes.
    """
    figure, axes = axes_of("Predicted class", "True class", SQUARE)
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    size = min(9.0, 75 / len(matrix))
    for (i, j), nodes in np.ndenumerate(matrix):
        if nodes:
            color = "white" if share[i, j] > 0.5 else BLACK
            axes.text(j, i, f"{nodes}", ha="center", va="center", color=color, fontsize=size)
    if list(classes) == list(map(str, range(len(classes)))):
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]))
    else:
        names = [_short(name) for name in classes]
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=size)
        axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    return figure


def _short(name: str) -> str:
    return f"{name[:NAME]}…" if len(name) > NAME + 1 else name


def reliability(
    by_model: Mapping[str, Calibration],
    xlabel: str = "Confidence (%)",
    ylabel: str = "Accuracy (%)",
) -> Figure:
    """Accuracy against confidence; the larger a marker, the more nodes."""
    figure, axes = axes_of(xlabel, ylabel, SQUARE)
    axes.plot([0, 100], [0, 100], color="#999999", linewidth=0.8, linestyle="--")
    for model, c in by_model.items():
        x, y, shown = 100 * c.confidence, 100 * c.accuracy, look(model)
        axes.plot(x, y, color=shown.color, linewidth=0.9, alpha=0.7)
        axes.scatter(
            x,
            y,
            s=8 + 160 * c.nodes / c.nodes.sum(),
            color=shown.color,
            marker=shown.marker,
            label=f"{shown.label}, ECE {100 * c.error:.1f} %",
            clip_on=False,
        )
    axes.set_aspect("equal")
    axes.set(xlim=(0, 100), ylim=(0, 100))
    legend(figure, 2)
    return figure
