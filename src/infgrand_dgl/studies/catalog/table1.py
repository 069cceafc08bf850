"""Every method beside its teacher, in every cell of the grid."""

import numpy as np
import pandas as pd

from ...config.schema import Config
from ...present.style import look
from ...registry import Study, studies
from ..charts import Figures, finished, of_model, panels_of, scale_of, shift
from ..grid import Cases, every_method
from ..summary import means, metric_of, models_of, name, ordered
from ..tables import LINE, Lines, by_setting, comparisons, gains, paired, scored

STAR = ("infgrand", "glnn")
STAR_MEANS = (
    "\\* better than GLNN with p < 0.05: paired t-test over the seeds of the cell, uncorrected."
)


def cases(config: Config) -> Cases:
    yield "", config, every_method(config)


def tables(rows: pd.DataFrame) -> Lines:
    def part(rows: pd.DataFrame, column: str) -> Lines:
        table = scored(rows, LINE, models_of(rows), column, star=STAR)
        compared = gains(paired(rows, comparisons(rows), column), metric_of(rows))
        return [*table, "", STAR_MEANS, "", *compared]

    return by_setting(rows, part, observed=True)


def figures(rows: pd.DataFrame) -> Figures:
    """Points rather than bars: scores have no zero worth showing."""
    table = means(rows)
    datasets, models = ordered(table["dataset"]), models_of(table)
    height = 0.3 * len(datasets) + 0.3
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
    )
)
