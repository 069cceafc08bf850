"""Teachers trained on the nodes of high or of low influence alone."""

import pandas as pd

from ...config.schema import Config
from ...registry import AMBER, BLUE, Study, studies
from ..charts import Figures, bars, finished, panels_of, zoomed
from ..grid import Cases
from ..summary import means, metric_of, relabelled
from ..tables import LINE, Lines, by_setting, gains, paired, scored

LABELS = {"high": "High influence", "low": "Low influence"}
PAIR = (LABELS["high"], LABELS["low"])
STYLES = {LABELS["high"]: (BLUE, ""), LABELS["low"]: (AMBER, "////")}


def cases(config: Config) -> Cases:
    for choice in LABELS:
        yield choice, config.replace("data", label_rate=0.25, label_choice=choice), {}


def tables(rows: pd.DataFrame) -> Lines:
    # The two of a pair are cases elsewhere; here they stand side by side, as models do.
    rows = _cases_as_models(rows).assign(case="")

    def part(rows: pd.DataFrame, column: str) -> Lines:
        table = scored(rows, LINE, PAIR, column, difference=PAIR)
        return [*table, "", *gains(paired(rows, [PAIR], column), metric_of(rows))]

    return by_setting(rows, part)


def figures(rows: pd.DataFrame) -> Figures:
    table = means(rows)
    figure, panels = panels_of(table, ["setting", "dataset"], 1.9, sharey=True)
    for axes, panel in panels:
        bars(axes, _cases_as_models(panel), "teacher", STYLES)
    return {"": finished(figure, ylabel=zoomed(figure, table, rows))}


def _cases_as_models(rows: pd.DataFrame) -> pd.DataFrame:
    return relabelled(rows.assign(model=rows["case"]), "model", LABELS)


studies.add(
    Study(
        "high-low",
        label="Training a GNN on the nodes of high or of low influence",
        claim="a GNN trained on the quarter of the training nodes of highest influence is the "
        "better on every dataset, whatever the architecture.",
        cases=cases,
        tables=tables,
        figures=figures,
        caption="Test {metric} of GNNs trained on nodes of high and of low influence",
        settings=("transductive",),
    )
)
