"""Every method beside its teacher, in every cell of the grid."""

import numpy as np
import pandas as pd

from ...config.schema import Config
from ...present.style import look
from ...registry import Study, studies
from ..charts import Figures, finished, of_model, panels_of, scale_of, shift
from ..grid import Compared
from ..published import METHODS, Published
from ..summary import means, metric_of, models_of, name, ordered
from ..tables import LINE, Lines, by_setting, comparisons, gains, of_settings, paired, scored, twins

STAR = ("infgrand", "glnn")
STAR_MEANS = (
    "\\* better than GLNN with p < 0.05: paired t-test over the seeds of the cell, uncorrected."
)


def cases(config: Config, published: Published) -> Compared:
    """The paper's methods have the cell's settings, all alike; another its own, where shipped."""
    students, own = {}, []
    for method in published.compared(config):
        if method in METHODS:
            students[method] = config.baseline(method)
            continue
        students[method] = published.student(method, config)
        own += [method] if published.own(method) else []
    yield "", config, students, own


def tables(rows: pd.DataFrame) -> Lines:
    def part(rows: pd.DataFrame, column: str) -> Lines:
        table = scored(rows, LINE, models_of(rows), column, star=STAR)
        compared = gains(paired(rows, comparisons(rows), column), metric_of(rows))
        return [*table, "", STAR_MEANS, "", *of_settings(rows), *compared]

    return [*twins(rows), *by_setting(rows, part, observed=True)]


def figures(rows: pd.DataFrame) -> Figures:
    """Points rather than bars: scores have no zero worth showing."""
    table = means(rows)
    datasets, models = ordered(table["dataset"]), models_of(table)
    height = max(0.3, 0.075 * len(models)) * len(datasets) + 0.3
    figure, panels = panels_of(table, ["setting", "teacher"], height, sharex=True, sharey=True)
    for axes, panel in panels:
        for i, model in enumerate(models):
            values, shown = of_model(panel, model, "dataset", datasets), look(model)
            y = np.arange(len(datasets)) + shift(i, len(models), 0.68)
            axes.errorbar(
                values["mean"],
                y,
                xerr=values["std"],
                fmt=shown.marker,
                color=shown.color,
                label=shown.label,
                markersize=3.5,
            )
        axes.set_yticks(range(len(datasets)), map(name, datasets))
        axes.set_ylim(len(datasets) - 0.5, -0.5)
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        axes.locator_params(axis="x", nbins=6)
    return {"": finished(figure, scale_of(rows))}


studies.add(
    Study(
        "table1",
        label="InfGraND beside its teachers and the other students",
        claim="InfGraND is the most accurate in most cells, often above its teacher; on average "
        "12.6 % above the MLP in the transductive setting and 9.3 % in the inductive one.",
        cases=cases,
        tables=tables,
        figures=figures,
        caption="Test {metric} of every model",
        methods=METHODS,
    )
)
