"""The figures of a search: which settings mattered, and how scores vary with them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from ...present.style import BLUE, ORANGE, subplots
from .space import Choices, Range, Space

Scores = Sequence[tuple[Mapping[str, Any], float]]  # values and score of each trial


def of_importances(shares: Mapping[str, float]) -> Figure:
    """A bar for each setting, the largest on top."""
    figure, axes = subplots(height=0.6 + 0.26 * len(shares))
    names = list(shares)[::-1]
    axes.barh(names, [shares[name] for name in names], color=BLUE, height=0.7)
    axes.set_xlabel("Importance")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    return figure


def of_values(space: Space, keys: Sequence[str], scores: Scores, best: int, label: str) -> Figure:
    """A panel for each of `keys`: the trials' scores by its value.

    The axis has the better four fifths of them, and those that are near; others stand at its edge.

    Args:
        best: which of the scores is.
        label: of the axis.
    """
    columns = min(3, len(keys))
    rows = -(-len(keys) // columns)
    size = {"width": 2.2 * columns + 0.3, "height": 2.0 * rows + 0.2}
    figure, grid = subplots(rows, columns, squeeze=False, sharey=True, **size)
    y = np.array([score for _, score in scores])
    better = np.sort(y if y[best] == y.max() else -y)[len(y) // 5 :]
    low = better[0] - 0.5 * (better[-1] - better[0])
    edge = (low if y[best] == y.max() else -low) if better[-1] > better[0] else None
    for axes in grid.flat[len(keys) :]:
        axes.set_axis_off()
    for axes, key in zip(grid.flat, keys, strict=False):
        _panel(axes, space[key], [values[key] for values, _ in scores], y, best, edge)
        axes.set_xlabel(key)
    for axes in grid[:, 0]:
        axes.set_ylabel(label)
    return figure


def _panel(
    axes: Axes, part: Choices | Range, values: list[Any], y: np.ndarray, best: int, edge: Any
) -> None:
    if isinstance(part, Choices):
        spread = np.random.default_rng(0).uniform(-0.2, 0.2, len(values))
        x = np.array([part.values.index(value) for value in values]) + spread
        size = 8 if len(part.values) < 6 else 7
        axes.set_xticks(range(len(part.values)), map(_short, part.values), fontsize=size)
        axes.set_xlim(-0.5, len(part.values) - 0.5)
    else:
        x = np.array(values, float)
        if part.log:
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(NullFormatter())
    off = np.zeros(len(y), bool)
    if edge is not None:
        less = y[best] == y.min()
        off = (y > edge) if less else (y < edge)
        top = y[best] + 0.05 * (y[best] - edge)
        axes.set_ylim((top, edge)[:: 1 if less else -1])
        axes.scatter(
            x[off],
            np.full(off.sum(), edge),
            marker="^" if less else "v",
            s=14,
            color=BLUE,
            alpha=0.5,
            clip_on=False,
        )
    axes.scatter(x[~off], y[~off], s=14, color=BLUE, alpha=0.6, linewidths=0)
    axes.scatter(x[best], y[best], s=40, color=ORANGE, marker="D", zorder=3)
    axes.grid(axis="y")


def _short(value: Any) -> str:
    """0.0005 as 5e-4."""
    if not isinstance(value, float):
        return str(value)
    usual, digits = f"{value:g}", f"{value:e}".replace("e-0", "e-")
    mantissa, _, exponent = digits.partition("e-")
    power = f"{float(mantissa):g}e-{exponent}"
    return power if exponent and len(power) < len(usual) else usual.replace("e-0", "e-")
