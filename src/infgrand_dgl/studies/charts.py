"""The parts of a study's figures: each figure has a panel for every setting, teacher or dataset."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure

from ..present.style import BLACK, subplots
from .summary import distinct, metric_of, name, ordered

Style = tuple[str, str]  # colour and hatch
Kwargs = dict[str, Any]
Panels = list[tuple[Axes, pd.DataFrame]]
Figures = dict[str, Figure]  # by what follows the name of the study
WIDTH = 6.5  # inches: the text of a page
DASHES = (0, (4, 2))


def panels_of(
    table: pd.DataFrame,
    keys: Sequence[str],
    height: float,
    columns: int = 3,
    width: float | None = None,
    **kwargs: Any,
) -> tuple[Figure, Panels]:
    """A figure with a panel for every combination of `keys` that occurs; `height` is a panel's.

    A panel's title says which it is, less what is the same for all.
    """
    kinds = distinct(table, keys)
    varied = [key for key in keys if table[key].nunique() > 1] or keys
    columns = min(columns, len(kinds))
    lines = -(-len(kinds) // columns)
    size: Kwargs = {
        "width": width or (4.0, 5.4, WIDTH)[columns - 1],
        "height": lines * height + 0.8,
    }
    figure, grid = subplots(lines, columns, squeeze=False, **size, **kwargs)
    for axes in grid.flat[len(kinds) :]:
        axes.set_axis_off()
    for axes in grid.flat[max(0, len(kinds) - columns) : len(kinds)]:
        axes.tick_params(labelbottom=True)  # above a place left empty, too
    panels = []
    for axes, kind in zip(grid.flat, kinds, strict=False):
        here = dict(zip(keys, kind, strict=True))
        axes.set_title(", ".join(name(here[key]) for key in varied))
        panels.append((axes, table[(table[list(keys)] == list(kind)).all(axis=1)]))
    if max(len(axes.get_title()) for axes, _ in panels) > 25:
        for axes, _ in panels:
            axes.title.set_fontsize(7.5)
    return figure, panels


def of_model(panel: pd.DataFrame, model: str, key: str, values: Sequence[str]) -> pd.DataFrame:
    """The mean and the deviation of `model` at each of `key`, NaN where there is none."""
    return panel[panel["model"] == model].set_index(key)[["mean", "std"]].reindex(values)


def shift(i: int, count: int, width: float) -> float:
    """Where the `i`-th of `count` stands beside the others, all together `width` wide."""
    return width / count * (i - (count - 1) / 2)


def bars(axes: Axes, panel: pd.DataFrame, key: str, styles: Mapping[str, Style]) -> None:
    """A group of bars at each value of `key`, one for each model of `styles`.

    The panel has room for three groups: where there are fewer the bars do not grow.
    """
    groups = ordered(panel[key])
    for i, (model, (color, hatch)) in enumerate(styles.items()):
        values = of_model(panel, model, key, groups)
        x = np.arange(len(groups)) + shift(i, len(styles), 0.84)
        axes.bar(
            x,
            values["mean"],
            0.84 / len(styles),
            yerr=values["std"],
            label=name(model),
            color=color,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.5,
            error_kw={"elinewidth": 0.8, "ecolor": BLACK, "capsize": 1.5},
        )
    axes.set_xticks(range(len(groups)), map(name, groups), fontsize=9 if len(groups) < 6 else 8)
    middle, half = (len(groups) - 1) / 2, max(len(groups), 3) / 2
    axes.set_xlim(middle - half, middle + half)
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y")


def teacher_lines(axes: Axes, panel: pd.DataFrame) -> None:
    """A line across each dataset's group of bars."""
    values = of_model(panel, "teacher", "dataset", ordered(panel["dataset"]))
    x = np.arange(len(values))
    style: Kwargs = {"colors": BLACK, "linestyles": DASHES, "linewidth": 1.0}
    axes.hlines(values["mean"], x - 0.45, x + 0.45, label=name("teacher"), **style)


def scale_of(rows: pd.DataFrame) -> str:
    """The label of an axis of test scores."""
    return metric_of(rows).axis("Test")


def zoomed(figure: Figure, table: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Cuts bars of percentages off below what any reaches, if that is much; the axis's label."""
    lowest, label = (table["mean"] - table["std"].fillna(0)).min(), scale_of(rows)
    if not metric_of(rows).percent:
        return label
    bottom = 10 * ((lowest - 5) // 10) if lowest >= 35 else 0
    for axes in figure.axes:
        axes.set_ylim(bottom=bottom)
    return label.replace("(%)", f"(%, from {bottom:.0f})") if bottom else label


def finished(figure: Figure, xlabel: str = "", ylabel: str = "") -> Figure:
    """With the labels of its axes, and one legend for all panels."""
    size = mpl.rcParams["font.size"]
    if xlabel:
        figure.supxlabel(xlabel, fontsize=size)
    if ylabel:
        figure.supylabel(ylabel, fontsize=size)
    handles: Kwargs = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            # The marker of an error bar without its caps.
            line = handle[0] if isinstance(handle, ErrorbarContainer) else handle
            handles.setdefault(label, line)
    if any(isinstance(handle, BarContainer) for handle in handles.values()):
        handles |= {label: handles.pop(label) for label in [name("teacher")] if label in handles}
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside upper center",
        ncols=4 if len(handles) > 6 or len(handles) == 4 else 3,
        columnspacing=1.5,
        handlelength=1.6,
    )
    return figure
