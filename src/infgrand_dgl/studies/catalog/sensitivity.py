"""One setting of InfGraND at a time; the sum of γ1 and γ2, the scale of the loss, stays."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ...config.schema import Config
from ...present.style import MARKERS, PALETTE
from ...registry import Study, studies
from ..charts import Figures, Kwargs, finished, panels_of, scale_of
from ..grid import Cases
from ..summary import means, name, ordered, relabelled
from ..tables import LINE, Lines, by_setting, scored

POOLINGS = ("mean", "max", "min")
VALUES: dict[str, Sequence[Any]] = {
    "lambda": (0.0, 0.1, 0.3, 0.5, 0.7, 0.9),
    "tau": (0.5, 1.0, 1.5, 2.0, 4.0),
    "gamma2/gamma1": (0.0, 0.25, 0.5, 1.0, 2.0, 4.0),
    "hops": (0, 1, 2, 3, 4, 6),
    "pooling": POOLINGS,
}
LABELS = {
    "lambda": "λ",
    "tau": "τ",
    "gamma2/gamma1": "γ₂ / γ₁",
    "hops": "Hops P",
    "pooling": "Pooling",
}


def cases(config: Config) -> Cases:
    d = config.distillation
    total = d.gamma1 + d.gamma2
    changes: dict[str, Callable[[Any], Config]] = {
        "lambda": lambda v: config.replace("distillation", lambda_=v),
        "tau": lambda v: config.replace("distillation", tau=v),
        "gamma2/gamma1": lambda v: config.replace(
            "distillation", gamma1=total / (1 + v), gamma2=total * v / (1 + v)
        ),
        "hops": lambda v: config.replace("propagation", hops=v),
        "pooling": lambda v: config.replace("propagation", pooling=v),
    }
    if config.data.task == "regression":  # which has no temperature
        del changes["tau"]
    students = {
        f"infgrand, {key}={value}": change(value)
        for key, change in changes.items()
        for value in VALUES[key]
    }
    yield "", config, students


def by_parameter(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows in which each parameter varies, by its label; its value in the place of the model.

    The parameter's label is their case.
    """
    split = rows["case"].str.partition("=")
    varied = rows.assign(case=split[0], model=split[2])[rows["case"] != ""]
    waiting = rows[(rows["model"] == "") & (rows["case"] == "")]  # stand for every parameter
    keys = ordered(varied["case"], first=list(VALUES))
    varied = relabelled(varied, "case", LABELS)
    return {
        label: pd.concat([varied[varied["case"] == label], waiting.assign(case=label)])
        for label in (LABELS.get(key, key) for key in keys)
    }


def tables(rows: pd.DataFrame) -> Lines:
    def part(rows: pd.DataFrame, column: str) -> Lines:
        lines: Lines = []
        for label, varied in by_parameter(rows).items():
            values = [value for value in ordered(varied["model"], first=POOLINGS) if value]
            lines += [f"### {label}", "", *scored(varied, LINE, values, column), ""]
        return lines[:-1] or ["Nothing has finished."]

    return by_setting(rows, part)


def figures(rows: pd.DataFrame) -> Figures:
    parameters = by_parameter(means(rows))
    if not parameters:
        return {}  # none but teachers
    table = pd.concat(parameters.values())
    datasets = ordered(table["dataset"])
    figure, panels = panels_of(table, ["setting", "teacher", "case"], 1.8, sharey=True)
    for axes, panel in panels:
        _curves(axes, panel, datasets)
    return {"": finished(figure, ylabel=scale_of(rows))}


def _curves(axes: Axes, panel: pd.DataFrame, datasets: Sequence[str]) -> None:
    """One parameter, its values at even distances; points alone where they are words."""
    values = ordered(panel["model"], first=POOLINGS)
    words = not all(value[:1].isdigit() for value in values)
    for i, dataset in enumerate(datasets):
        curve = panel[panel["dataset"] == dataset].set_index("model").reindex(values)
        color, marker = PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]
        style: Kwargs = {"color": color, "marker": marker, "label": name(dataset)}
        x = np.arange(len(values))
        if words:
            shift = 0.1 * (i - (len(datasets) - 1) / 2)
            axes.errorbar(x + shift, curve["mean"], curve["std"], linestyle="", **style)
            continue
        axes.plot(x, curve["mean"], **style)
        low, high = curve["mean"] - curve["std"], curve["mean"] + curve["std"]
        axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    axes.set_xticks(range(len(values)), values)
    axes.margins(x=0.12)
    axes.grid(axis="y")


studies.add(
    Study(
        "sensitivity",
        label="Sensitivity to the hyperparameters",
        cases=cases,
        tables=tables,
        figures=figures,
        caption="Test {metric} of InfGraND as one hyperparameter varies, its values at even "
        "distances",
        settings=("transductive",),
        teachers=("gcn",),
    )
)
