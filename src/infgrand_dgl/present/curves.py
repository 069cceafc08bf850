"""Pictures of a run and of a benchmark."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from .style import BLUE, look, models, save, subplots


def training_curves(
    history: Sequence[Mapping[str, Any]],
    path: Path,
    key: str = "val_accuracy",
    label: str = "Validation accuracy (%)",
    scale: float = 100,
) -> None:
    """A column of the history by epoch, `scale` times as large, under its label."""
    figure, axes = _figure("Epoch", label)
    draw_curves(axes, history, key, scale)
    axes.legend(loc="lower right")
    save(figure, path)


def draw_curves(
    axes: Axes, history: Sequence[Mapping[str, Any]], key: str, scale: float = 1
) -> None:
    """A column of the history by epoch: each seed a thin line, their mean a thick one."""
    for model in models():
        curves: dict[int, list[float]] = {}
        for row in history:
            if row["stage"] == model:
                curves.setdefault(row["seed"], []).append(scale * row[key])
        if not curves:
            continue
        shown = look(model)
        longest = max(map(len, curves.values()))
        for curve in curves.values():
            axes.plot(range(1, len(curve) + 1), curve, color=shown.color, alpha=0.25, linewidth=0.8)
        # Where a seed has stopped early its last value stands for it.
        padded = [curve + [curve[-1]] * (longest - len(curve)) for curve in curves.values()]
        mean = np.mean(padded, axis=0)
        axes.plot(range(1, longest + 1), mean, color=shown.color, label=shown.label)


def influence_histogram(scores: Tensor, path: Path) -> None:
    figure, axes = _figure("Global influence score", "Nodes")
    draw_histogram(axes, scores)
    save(figure, path)


def draw_histogram(axes: Axes, scores: Tensor) -> None:
    values = scores[~scores.isnan()].cpu().double().numpy()  # float32 cannot be cut finely
    axes.hist(values, bins=60, color=BLUE)


def medians(seconds: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Median seconds of each method on a log axis, with the range of the repetitions."""
    figure, axes = _figure("Seconds (log scale)", "", height=max(3.4, 0.25 * len(seconds)))
    names = list(seconds)[::-1]
    median = np.array([seconds[k]["median"] for k in names])
    low = median - [seconds[k]["min"] for k in names]
    high = [seconds[k]["max"] for k in names] - median
    axes.errorbar(median, names, xerr=[low, high], fmt="o", color=BLUE, capsize=3)
    axes.set_xscale("log")
    axes.margins(y=0.2)
    save(figure, path)


def _figure(xlabel: str, ylabel: str, height: float = 3.4) -> tuple[Figure, Axes]:
    figure, axes = subplots(height=height)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    return figure, axes
