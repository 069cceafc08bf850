"""The student under each measure of influence, and how the measures rank the nodes."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from ...config.schema import Config
from ...data import load_dataset
from ...experiment.directory import RunDirectory
from ...influence.compute import influence
from ...influence.cosine import unit_rows
from ...present.style import BLACK, BLUE, ORANGE
from ...registry import Study, studies
from ...registry import measures as registered
from ...system.arrays import load_array
from ...system.runtime import Runtime, resolve_device
from ..charts import DASHES, WIDTH, Figures, Kwargs, finished, panels_of, scale_of
from ..grid import Cases, Cell
from ..published import fits
from ..summary import means, metric_of, models_of, name, ordered
from ..tables import LINE, Lines, by_setting, gains, markdown, paired, scored

PAPER = "cosine"
CENTROID = "centroid cosine"
LABELS = {CENTROID: "Centroid cosine"}


def cases(config: Config) -> Cases:
    measures = (measure.name for measure in registered.in_order() if fits(measure, config))
    yield "", config, {m: config.replace("influence", measure=m) for m in measures}


def correlations(cell: Cell, folder: Path, rows: object) -> list[dict[str, Any]]:
    """Spearman's rank correlations of the measures with each other and with the features' mean.

    "centroid cosine" is the cosine of a node's raw features with their mean over all nodes: no
    edge has a part in it. A measure that is the same everywhere ranks no node, and is left out.
    """
    dataset = load_dataset(cell.config, cell.seed)
    runtime = Runtime.on(resolve_device(cell.config.train.device), cell.config.resources)
    saved = load_array(RunDirectory(folder).teacher_logits(cell.seed))
    logits = torch.from_numpy(saved).float()
    scores = {
        measure: influence(config, dataset, runtime, logits=logits).scores.cpu()
        for measure, config in cell.students.items()
    }
    seen = ~next(iter(scores.values())).isnan()
    x = dataset.dense_features()[seen]
    scores = {measure: values[seen] for measure, values in scores.items()}
    scores = {measure: s for measure, s in scores.items() if s.min() < s.max()}
    scores[CENTROID] = unit_rows(x) @ unit_rows(x.mean(dim=0, keepdim=True))[0]
    rho = spearmanr(torch.stack(list(scores.values()), dim=1).double().numpy()).statistic
    return [
        {**cell.where(), "measure": a, "with": b, "spearman": float(rho[i, j])}
        for i, a in enumerate(scores)
        for j, b in enumerate(scores)
    ]


def students_of(rows: pd.DataFrame) -> list[str]:
    """The measures that a student was trained with."""
    return [model for model in models_of(rows, ["teacher"]) if model != "teacher"]


def tables(rows: pd.DataFrame, correlations: pd.DataFrame | None = None) -> Lines:
    students = students_of(rows)
    pairs = [(PAPER, than) for than in students if than != PAPER]

    def part(rows: pd.DataFrame, column: str) -> Lines:
        table = scored(rows, LINE, ["teacher", *students], column)
        return [*table, "", *gains(paired(rows, pairs, column), metric_of(rows))]

    lines = by_setting(rows, part)
    if correlations is None or correlations.empty:
        return lines
    heading = ["## Rank correlations of the measures", "", "Spearman's ρ over the nodes.", ""]
    return [*lines, *heading, *rank_correlations(correlations), ""]


def rank_correlations(correlations: pd.DataFrame) -> Lines:
    """Mean ± deviation over the seeds of each pair, a column for each dataset."""
    datasets = ordered(correlations["dataset"])
    seen: set[tuple[str, str]] = set()  # ρ is the same both ways
    body = []
    for one in ordered(correlations["measure"]):
        for other in ordered(correlations["with"]):
            pair = (correlations["measure"] == one) & (correlations["with"] == other)
            if one == other or not pair.any() or (other, one) in seen:
                continue
            seen.add((one, other))
            line = [_name(one), _name(other)]
            for dataset in datasets:
                rho = correlations.loc[pair & (correlations["dataset"] == dataset), "spearman"]
                rho = rho.dropna()
                spread = f" ± {rho.std(ddof=0):.2f}" if len(rho) > 1 else ""
                line.append(f"{rho.mean():z.2f}{spread}".replace("-", "−") if len(rho) else "–")
            body.append(line)
    return markdown(["Measure", "With", *map(name, datasets)], body)


def _name(measure: str) -> str:
    return LABELS.get(measure) or name(measure)


def figures(rows: pd.DataFrame, correlations: pd.DataFrame | None = None) -> Figures:
    """Points, on an axis of each panel's own: the measures are close to one another."""
    table = means(rows)
    students = students_of(table)
    figure, panels = panels_of(table, ["setting", "teacher", "dataset"], 1.7, sharex=True)
    figure.set_figheight(figure.get_figheight() + 0.5)  # the names below
    for axes, panel in panels:
        values = panel.set_index("model").reindex(["teacher", *students])
        teacher = values.loc["teacher", "mean"]
        if not np.isnan(teacher):
            axes.axhline(teacher, color=BLACK, linestyle=DASHES, label=name("teacher"))
        for i, measure in enumerate(students):
            paper = measure == PAPER
            style: Kwargs = {"color": ORANGE, "fmt": "D"} if paper else {"color": BLUE, "fmt": "o"}
            label = "The paper's measure" if paper else "Another measure"
            axes.errorbar(i, *values.loc[measure, ["mean", "std"]], label=label, **style)
        axes.set_xticks(range(len(students)), map(name, students), rotation=90)
        axes.set_xlim(-0.6, len(students) - 0.4)
        axes.grid(axis="y")
    figures = {"": finished(figure, ylabel=scale_of(rows))}
    if correlations is not None and correlations["spearman"].notna().any():
        figures["-correlations"] = _heatmaps(correlations)
    return figures


def _heatmaps(correlations: pd.DataFrame) -> Figure:
    """Mean rank correlation over the seeds, a panel for each dataset."""
    kinds = ordered([*correlations["measure"], *correlations["with"]])
    size = 0.36 * len(kinds) + 0.3
    figure, panels = panels_of(
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
        axes.set_xticks(range(len(kinds)), map(_name, kinds), rotation=90)
        axes.set_yticks(range(len(kinds)), map(_name, kinds))
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


studies.add(
    Study(
        "measures",
        label="Other measures of influence",
        cases=cases,
        tables=tables,
        figures=figures,
        caption="Test {metric} of the student under each measure of influence",
        captions={"-correlations": "Mean rank correlation of the measures over the seeds"},
        settings=("transductive",),
        teachers=("gcn",),
        after=correlations,
        extra="correlations",
    )
)
