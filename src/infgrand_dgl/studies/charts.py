"""The studies as figures for a paper: each a panel for every setting, teacher or dataset."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ..present.style import (
    AMBER,
    BLACK,
    BLUE,
    COLORS,
    GREEN,
    MARKER_OF,
    MARKERS,
    ORANGE,
    PALETTE,
    PINK,
    subplots,
)
from .summary import CELL, MEASURES, TIMES, distinct, means, name, ordered, times
from .tables import parameters

Style = tuple[str, str]  # colour and hatch
Kwargs = dict[str, Any]
Figures = dict[str, Figure]  # by what follows the name of the study
ACCURACY = "Test accuracy (%)"
WIDTH = 6.5  # inches: the text of a page
FOUR = ("teacher", "mlp", "glnn", "infgrand")
RAW, PROPAGATED = "", "////"  # what the student is fed
STUDENTS = {
    "mlp": (GREEN, RAW),
    "mlp + propagation": (GREEN, PROPAGATED),
    "glnn": (PINK, RAW),
    "glnn + propagation": (PINK, PROPAGATED),
    "infgrand loss": (ORANGE, RAW),
    "infgrand": (ORANGE, PROPAGATED),
}
DASHES = (0, (4, 2))


def table1(rows: pd.DataFrame) -> Figures:
    """Points rather than bars: accuracies have no zero worth showing."""
    found = means(rows)
    datasets = ordered(found["dataset"])
    height = 0.3 * len(datasets) + 0.3
    figure, panels = _panels(found, ["setting", "teacher"], height, sharex=True, sharey=True)
    for axes, panel in panels:
        for i, model in enumerate(FOUR):
            own = _of(panel, model, "dataset", datasets)
            y = np.arange(len(datasets)) + 0.17 * (i - 1.5)
            style: Kwargs = {"color": COLORS[model], "label": name(model), "markersize": 3.5}
            axes.errorbar(own["mean"], y, xerr=own["std"], fmt=MARKER_OF[model], **style)
        axes.set_yticks(range(len(datasets)), map(name, datasets))
        axes.set_ylim(len(datasets) - 0.5, -0.5)
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        axes.locator_params(axis="x", nbins=6)
    return {"": _finished(figure, ACCURACY)}


def high_low(rows: pd.DataFrame) -> Figures:
    found = means(rows)
    figure, panels = _panels(found, ["setting", "dataset"], 1.9, sharey=True)
    styles = {"high": (BLUE, ""), "low": (AMBER, "////")}
    for axes, panel in panels:
        _bars(axes, panel.assign(model=panel["case"]), "teacher", styles)
    return {"": _finished(figure, ylabel=_zoomed(figure, found))}


def label_scarce(rows: pd.DataFrame) -> Figures:
    found = means(rows)
    shares = ordered(found["case"])
    figure, panels = _panels(found, ["setting", "teacher", "dataset"], 1.9)
    for axes, panel in panels:
        for i, model in enumerate(FOUR):
            own = _of(panel, model, "case", shares)
            x = np.arange(len(shares)) + 0.06 * (i - 1.5)  # error bars side by side
            style: Kwargs = {"color": COLORS[model], "label": name(model)}
            axes.errorbar(x, own["mean"], own["std"], marker=MARKER_OF[model], **style)
        axes.set_xticks(range(len(shares)), shares)
        axes.set_xlim(-0.3, len(shares) - 0.7)
        axes.grid(axis="y")
    return {"": _finished(figure, "Share of the training labels", ACCURACY)}


def ablation(rows: pd.DataFrame) -> Figures:
    found = means(rows)
    figure, panels = _panels(
        found, ["setting", "teacher"], 2.0, columns=1, width=WIDTH, sharey=True
    )
    for axes, panel in panels:
        _bars(axes, panel, "dataset", STUDENTS)
        _teacher(axes, panel)
    return {"": _finished(figure, ylabel=_zoomed(figure, found))}


def measures(rows: pd.DataFrame, correlations: pd.DataFrame | None = None) -> Figures:
    """Points, on an axis of each panel's own: the measures are close to one another."""
    found = means(rows)
    students = [measure for measure in MEASURES if (found["model"] == measure).any()]
    figure, panels = _panels(found, ["setting", "teacher", "dataset"], 1.7, sharex=True)
    figure.set_figheight(figure.get_figheight() + 0.5)  # the names below
    for axes, panel in panels:
        own = panel.set_index("model").reindex(["teacher", *students])
        teacher = own.loc["teacher", "mean"]
        if not np.isnan(teacher):
            axes.axhline(teacher, color=BLACK, linestyle=DASHES, label=name("teacher"))
        for i, measure in enumerate(students):
            paper = measure == "cosine"
            style: Kwargs = {"color": ORANGE, "fmt": "D"} if paper else {"color": BLUE, "fmt": "o"}
            label = "The paper's measure" if paper else "Another measure"
            axes.errorbar(i, *own.loc[measure, ["mean", "std"]], label=label, **style)
        axes.set_xticks(range(len(students)), map(name, students), rotation=90)
        axes.set_xlim(-0.6, len(students) - 0.4)
        axes.grid(axis="y")
    figures = {"": _finished(figure, ylabel=ACCURACY)}
    if correlations is not None and correlations["spearman"].notna().any():
        figures["-correlations"] = _heatmaps(correlations)
    return figures


def tradeoff(rows: pd.DataFrame) -> Figures:
    """A line joins the depths of one architecture, or the widths of one student."""
    suffixes = {"ms_per_1000_nodes": "", "ms_per_request": "-request"}
    return {suffixes[clock]: _scatter(rows, clock) for clock in times(rows)}


def _scatter(rows: pd.DataFrame, clock: str) -> Figure:
    keys = [*CELL, "model"]
    time = means(rows, clock).set_index(keys)
    found = means(rows).set_index(keys)
    found = found.assign(ms=time["mean"], ms_std=time["std"]).dropna(subset="ms").reset_index()
    figure, panels = _panels(found, ["setting", "dataset"], 2.2)
    for axes, panel in panels:
        for model, teacher in distinct(panel, ["model", "teacher"]):
            kind = teacher if model == "teacher" else model
            own = panel[(panel["model"] == model) & (panel["teacher"] == teacher)]
            own = own.sort_values("ms")
            axes.errorbar(
                own["ms"],
                own["mean"],
                own["std"],
                own["ms_std"],
                color=COLORS[kind],
                marker=MARKER_OF[kind],
                linewidth=0.8,
                elinewidth=0.8,
                label=name(kind),
            )
        axes.set_xscale("log")
        decades = np.log10(panel["ms"].max() / panel["ms"].min())
        axes.xaxis.set_major_locator(LogLocator(subs=(1,) if decades > 1.5 else (1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(0.12)
        axes.grid()
    return _finished(figure, f"Inference time ({TIMES[clock]}, log scale)", ACCURACY)


def sensitivity(rows: pd.DataFrame) -> Figures:
    by_parameter = parameters(means(rows))
    if not by_parameter:
        return {}  # none but teachers
    found = pd.concat(by_parameter.values())
    datasets = ordered(found["dataset"])
    figure, panels = _panels(found, ["setting", "teacher", "case"], 1.8, sharey=True)
    for axes, panel in panels:
        _curves(axes, panel, datasets)
    return {"": _finished(figure, ylabel=ACCURACY)}


def _curves(axes: Axes, panel: pd.DataFrame, datasets: Sequence[str]) -> None:
    """One parameter, its values at even distances; points alone where they are words."""
    values = ordered(panel["model"])
    words = not all(value[:1].isdigit() for value in values)
    for i, dataset in enumerate(datasets):
        own = panel[panel["dataset"] == dataset].set_index("model").reindex(values)
        color, marker = PALETTE[i], MARKERS[i]
        style: Kwargs = {"color": color, "marker": marker, "label": name(dataset)}
        x = np.arange(len(values))
        if words:
            shift = 0.1 * (i - (len(datasets) - 1) / 2)
            axes.errorbar(x + shift, own["mean"], own["std"], linestyle="", **style)
            continue
        axes.plot(x, own["mean"], **style)
        low, high = own["mean"] - own["std"], own["mean"] + own["std"]
        axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    axes.set_xticks(range(len(values)), values)
    axes.margins(x=0.12)
    axes.grid(axis="y")


def _heatmaps(correlations: pd.DataFrame) -> Figure:
    """Mean rank correlation over the seeds, a panel for each dataset."""
    kinds = ordered([*correlations["measure"], *correlations["with"]])
    size = 0.36 * len(kinds) + 0.3
    figure, panels = _panels(
        correlations, ["dataset"], size, columns=2, width=WIDTH, sharex=True, sharey=True
    )
    figure.set_figheight(figure.get_figheight() + 1)  # the names below
    for axes, panel in panels:
        rho = panel.groupby(["measure", "with"])["spearman"].mean().unstack()
        rho = rho.reindex(index=kinds, columns=kinds)
        rho = rho.combine_first(rho.T).to_numpy(copy=True)  # ρ is the same both ways
        np.fill_diagonal(rho, 1)
        image = axes.imshow(rho, cmap="PuOr", vmin=-1, vmax=1)
        for (i, j), value in np.ndenumerate(rho):
            if not np.isnan(value):
                color = "white" if abs(value) > 0.65 else BLACK
                text = f"{value:z.2f}".replace("-", "−").replace("0.", ".")
                axes.text(j, i, text, ha="center", va="center", color=color, fontsize=7)
        axes.set_xticks(range(len(kinds)), map(name, kinds), rotation=90)
        axes.set_yticks(range(len(kinds)), map(name, kinds))
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    figure.colorbar(
        image,
        ax=figure.axes,
        label="Spearman's ρ",
        location="top",
        aspect=40,
        shrink=0.5,
        ticks=(-1, -0.5, 0, 0.5, 1),
    )
    return figure


def _panels(
    found: pd.DataFrame,
    keys: Sequence[str],
    height: float,
    columns: int = 3,
    width: float | None = None,
    **kwargs: Any,
) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    """A figure with a panel for every combination of `keys` that occurs; `height` is a panel's.

    A panel's title says which it is, less what is the same for all.
    """
    kinds = distinct(found, keys)
    varied = [key for key in keys if found[key].nunique() > 1] or keys
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
        panels.append((axes, found[(found[list(keys)] == list(kind)).all(axis=1)]))
    if max(len(axes.get_title()) for axes, _ in panels) > 25:
        for axes, _ in panels:
            axes.title.set_fontsize(7.5)
    return figure, panels


def _of(panel: pd.DataFrame, model: str, key: str, values: Sequence[str]) -> pd.DataFrame:
    """The mean and the deviation of `model` at each value of `key`, NaN where there is none."""
    return panel[panel["model"] == model].set_index(key)[["mean", "std"]].reindex(values)


def _bars(
    axes: Axes, panel: pd.DataFrame, key: str, styles: Mapping[str, Style], wide: int = 3
) -> None:
    """A group of bars at each value of `key`, one for each model of `styles`.

    The panel has room for `wide` groups: where there are fewer the bars do not grow.
    """
    groups = ordered(panel[key])
    width = 0.84 / len(styles)
    for i, (model, (color, hatch)) in enumerate(styles.items()):
        own = _of(panel, model, key, groups)
        x = np.arange(len(groups)) + width * (i - (len(styles) - 1) / 2)
        axes.bar(
            x,
            own["mean"],
            width,
            yerr=own["std"],
            label=name(model),
            color=color,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.5,
            error_kw={"elinewidth": 0.8, "ecolor": BLACK, "capsize": 1.5},
        )
    axes.set_xticks(range(len(groups)), map(name, groups), fontsize=9 if len(groups) < 6 else 8)
    middle, half = (len(groups) - 1) / 2, max(len(groups), wide) / 2
    axes.set_xlim(middle - half, middle + half)
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y")


def _teacher(axes: Axes, panel: pd.DataFrame, key: str = "dataset") -> None:
    """A line across each group of bars."""
    own = _of(panel, "teacher", key, ordered(panel[key]))
    x = np.arange(len(own))
    style: Kwargs = {"colors": BLACK, "linestyles": DASHES, "linewidth": 1.0}
    axes.hlines(own["mean"], x - 0.45, x + 0.45, label=name("teacher"), **style)


def _zoomed(figure: Figure, found: pd.DataFrame) -> str:
    """Cuts the bars off below what any reaches, if that is much; the label that says so."""
    lowest = (found["mean"] - found["std"].fillna(0)).min()
    bottom = 10 * ((lowest - 5) // 10) if lowest >= 35 else 0
    for axes in figure.axes:
        axes.set_ylim(bottom=bottom)
    return f"Test accuracy (%, from {bottom:.0f})" if bottom else ACCURACY


def _finished(figure: Figure, xlabel: str = "", ylabel: str = "") -> Figure:
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
