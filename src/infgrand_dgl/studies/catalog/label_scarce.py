"""Every method with a share of the training labels."""

import numpy as np
import pandas as pd

from ...config.schema import Config
from ...present.style import look
from ...registry import Study, studies
from ..charts import Figures, finished, of_model, panels_of, scale_of, shift
from ..grid import Cases, every_method
from ..published import METHODS, Published
from ..summary import means, metric_of, models_of, ordered
from ..tables import LINE, Lines, by_setting, comparisons, gains, paired, scored


def cases(config: Config, published: Published) -> Cases:
    for percent in (10, 20, 40):
        scarce = config.replace("data", label_rate=percent / 100)
        yield f"{percent} %", scarce, every_method(scarce, published)


def tables(rows: pd.DataFrame) -> Lines:
    def part(rows: pd.DataFrame, column: str) -> Lines:
        series = paired(rows, comparisons(rows), column)
        for share in ordered(rows["case"]):
            cell = paired(rows[rows["case"] == share], [("infgrand", "glnn")], column)
            series |= {f"{pair}, {share} of the labels": d for pair, d in cell.items()}
        table = scored(rows, [*LINE, "case"], models_of(rows), column)
        return [*table, "", *gains(series, metric_of(rows))]

    return by_setting(rows, part)


def figures(rows: pd.DataFrame) -> Figures:
    table = means(rows)
    shares, models = ordered(table["case"]), models_of(table)
    figure, panels = panels_of(table, ["setting", "teacher", "dataset"], 1.9)
    for axes, panel in panels:
        for i, model in enumerate(models):
            values, shown = of_model(panel, model, "case", shares), look(model)
            x = np.arange(len(shares)) + shift(i, len(models), 0.24)  # error bars side by side
            axes.errorbar(
                x,
                values["mean"],
                values["std"],
                marker=shown.marker,
                color=shown.color,
                label=shown.label,
            )
        axes.set_xticks(range(len(shares)), shares)
        axes.set_xlim(-0.3, len(shares) - 0.7)
        axes.grid(axis="y")
    return {"": finished(figure, "Share of the training labels", scale_of(rows))}


studies.add(
    Study(
        "label-scarce",
        label="Few labels",
        claim="with 10, 20 and 40 % of the training labels InfGraND is on average 4.17 % above "
        "GLNN.",
        cases=cases,
        tables=tables,
        figures=figures,
        caption="Test {metric} by the share of the training labels",
        settings=("transductive",),
        methods=METHODS,
        teachers=("gcn",),
    )
)
