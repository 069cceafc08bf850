"""Demšar's diagram of critical distances: models at their mean ranks, bars over those alike."""

from collections.abc import Mapping

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..present.style import BLACK, look, subplots
from .charts import WIDTH
from .ranks import Ranks
from .summary import name

STEP, BAR = 0.5, 0.22  # between labels, and between bars, down from the axis


def diagrams(panels: Mapping[str, Ranks]) -> Figure:
    """A panel for each of some rankings, by title."""
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    deepest = max(map(_depth, panels.values()))
    height = lines * (0.3 * deepest + 0.55)
    width = WIDTH if columns > 1 else 4.5
    figure, grid = subplots(lines, columns, width=width, height=height, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (title, found) in zip(grid.flat, panels.items(), strict=False):
        axes.set_title(title, fontsize=8)
        diagram(axes, found)
        axes.set_ylim(deepest, -1.3)
    return figure


def _depth(found: Ranks) -> float:
    """Of the lowest label."""
    return BAR * (len(found.groups()) + 1) + STEP * -(-len(found.mean) // 2)


def diagram(axes: Axes, found: Ranks) -> None:
    """Ranks from left to right, the better half of the models labelled to the left."""
    k = len(found.mean)
    out = 0.12 * (k - 1)
    axes.set_xlim(1 - 5.5 * out, k + 5.5 * out)
    axes.hlines(0, 1, k, colors=BLACK, linewidth=0.8)
    for rank in range(1, k + 1):
        axes.vlines(rank, -0.12, 0, colors=BLACK, linewidth=0.8)
        axes.text(rank, -0.18, str(rank), ha="center", va="bottom", fontsize=7)
    _distance(axes, found, k)
    top = BAR * (len(found.groups()) + 1)
    half = -(-k // 2)
    for i, (model, rank) in enumerate(found.mean.items()):
        left = i < half
        y = top + STEP * ((i if left else k - 1 - i) + 0.5)
        _label(axes, str(model), float(rank), y, 1 - out if left else k + out, left)
    for i, (first, last) in enumerate(found.groups()):
        y, pad = BAR * (i + 1), 0.015 * (k - 1)
        ends = found.mean[first] - pad, found.mean[last] + pad
        axes.hlines(y, *ends, colors=BLACK, linewidth=2.5)


def _distance(axes: Axes, found: Ranks, k: int) -> None:
    """The critical distance, drawn to scale above the axis, from its left end."""
    end, y = 1 + min(found.distance, k - 1), -0.85
    axes.hlines(y, 1, end, colors=BLACK, linewidth=1.2)
    axes.vlines([1, end], y - 0.1, y + 0.1, colors=BLACK, linewidth=1.2)
    more = "" if found.distance <= k - 1 else ", wider than the axis"
    axes.text(end + 0.02 * k, y, f"CD {found.distance:.2f}{more}", va="center", fontsize=7)


def _label(axes: Axes, model: str, rank: float, y: float, end: float, left: bool) -> None:
    shown = look(model)
    axes.plot([rank, rank, end], [0, y, y], color=shown.color, linewidth=0.8)
    size = mpl.rcParams["lines.markersize"] - 1
    axes.plot(rank, 0, marker=shown.marker, color=shown.color, markersize=size, clip_on=False)
    text = f"{name(model)}  {rank:.2f} " if left else f" {rank:.2f}  {name(model)}"
    axes.text(end, y, text, ha="right" if left else "left", va="center", fontsize=7.5)
