"""Prediction quality against inference time: teachers of any depth, students of any width."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ...config.schema import Config
from ...present.style import look
from ...registry import Study, studies
from ...training.metrics import Metric
from ..charts import Figures, finished, panels_of, scale_of
from ..grid import Cases, Cell, every_method
from ..latency import latencies
from ..published import METHODS, Published, Students
from ..summary import CELL, distinct, means, metric_of, name, ordered, scores
from ..tables import Lines, by_setting, markdown, mean_std, number, status

# Columns of results.csv, and what follows the study's name in the files of their figures.
CLOCKS = {
    "ms_per_1000_nodes": ("ms per 1000 nodes", ""),
    "ms_per_request": ("ms per request of 10 nodes", "-request"),
}
COMPARED = (
    "The InfGraND compared with was distilled from the same architecture (else from the "
    "first); of several widths it is the best on the validation nodes."
)
KEYS = ["dataset", "model", "teacher", "case"]  # what a line of the table is of


def cases(config: Config, published: Published) -> Cases:
    for layers in range(1, 5):
        # fanouts, of as many layers as before, are for teachers that are sampled
        deep = config.replace("teacher", layers=layers, fanouts=None)
        students: Students = {}
        if layers == config.teacher.layers:
            for width in (None, 64, 256, 1024):
                case = "published width" if width is None else f"width {width}"
                wide = config.replace("student", hidden=width or config.student.hidden)
                students |= {
                    f"{model}, {case}": c for model, c in every_method(wide, published).items()
                }
        yield f"{layers} layer{'s' * (layers > 1)}", deep, students


def time_requests(cell: Cell, folder: Path, rows: list[dict[str, Any]]) -> None:
    times = latencies(cell)
    for row in rows:
        row["ms_per_request"] = times[row["model"], row["case"]]


def clocks_of(rows: pd.DataFrame) -> list[str]:
    """The columns of `CLOCKS` that were measured."""
    return [clock for clock in CLOCKS if clock in rows and not scores(rows, clock).empty]


def tables(rows: pd.DataFrame) -> Lines:
    clocks = clocks_of(rows)
    headers = ["Dataset", "Model", scale_of(rows), "InfGraND is better by"]
    headers += [text for clock in clocks for text in (CLOCKS[clock][0], "InfGraND is faster by")]

    def part(rows: pd.DataFrame, column: str) -> Lines:
        table, metric = means(rows, column).set_index(KEYS), metric_of(rows)
        for other in ("validation", *clocks):
            table[other] = means(rows, other).set_index(KEYS)["mean"]
        body = []
        for key in distinct(_without_stand_ins(rows), KEYS):
            dataset, model, teacher, case = key
            line = [name(dataset), _label(model, teacher, case)]
            if key in table.index:
                line += _numbers(table, key, clocks, metric)
            else:
                line.append(status(rows[(rows[KEYS] == list(key)).all(axis=1)]))
                line += ["–"] * (len(headers) - len(line))
            body.append(line)
        return markdown(headers, body)

    return [COMPARED, "", *by_setting(rows, part)]


def _numbers(
    table: pd.DataFrame, key: tuple[str, ...], clocks: Sequence[str], metric: Metric
) -> list[str]:
    """Score and times of one model, each beside how InfGraND compares."""
    dataset, _, teacher, _ = key
    values = table.loc[key]
    line = [mean_std(values, table["seeds"].max(), metric), "–"]
    line += [text for clock in clocks for text in (_digits(values[clock]), "–")]
    student = reference(table, dataset, teacher, metric.sign)
    if student is not None and student.name != key:
        ahead = metric.sign * (student["mean"] - values["mean"])
        line[1] = number(ahead, metric, sign="+") + " points" * metric.percent
        line[3::2] = [_digits(values[clock] / student[clock], " ×") for clock in clocks]
    return line


def reference(table: pd.DataFrame, dataset: str, teacher: str, sign: int = 1) -> pd.Series | None:
    """The InfGraND of `table` (by `KEYS`) to compare a teacher with."""
    students = [key for key in table.index if key[:2] == (dataset, "infgrand")]
    if not students:
        return None
    teachers = ordered(key[2] for key in students)
    chosen = teacher if teacher in teachers else teachers[0]
    same = [table.loc[key] for key in students if key[2] == chosen]
    return max(same, key=lambda values: sign * values["validation"])


def _label(model: str, teacher: str, case: str) -> str:
    """A teacher is its architecture; a student says whose."""
    label = name(teacher) if model in ("teacher", "") else f"{name(model)} ({name(teacher)})"
    return f"{label}, {case}" if case else label


def _without_stand_ins(rows: pd.DataFrame) -> pd.DataFrame:
    """Without the rows of no model whose cell has models from another seed."""
    cell = pd.MultiIndex.from_frame(rows[CELL])
    trained = rows["model"] != ""
    return rows[trained | ~cell.isin(cell[trained])]


def _digits(value: float, unit: str = "") -> str:
    return "–" if pd.isna(value) else f"{value:.3g}{unit}"


def figures(rows: pd.DataFrame) -> Figures:
    """A line joins the depths of one architecture, or the widths of one student."""
    return {CLOCKS[clock][1]: _scatter(rows, clock) for clock in clocks_of(rows)}


def _scatter(rows: pd.DataFrame, clock: str) -> Figure:
    keys = [*CELL, "model"]
    time = means(rows, clock).set_index(keys)
    table = means(rows).set_index(keys)
    table = table.assign(ms=time["mean"], ms_std=time["std"]).dropna(subset="ms").reset_index()
    figure, panels = panels_of(table, ["setting", "dataset"], 2.2)
    for axes, panel in panels:
        _lines(axes, panel)
        axes.set_xscale("log")
        decades = np.log10(panel["ms"].max() / panel["ms"].min())
        axes.xaxis.set_major_locator(LogLocator(subs=(1,) if decades > 1.5 else (1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(0.12)
        axes.grid()
    return finished(figure, f"Inference time ({CLOCKS[clock][0]}, log scale)", scale_of(rows))


def _lines(axes: Axes, panel: pd.DataFrame) -> None:
    for model, teacher in distinct(panel, ["model", "teacher"]):
        shown = look(teacher if model == "teacher" else model)
        values = panel[(panel["model"] == model) & (panel["teacher"] == teacher)]
        values = values.sort_values("ms")
        axes.errorbar(
            values["ms"],
            values["mean"],
            values["std"],
            values["ms_std"],
            color=shown.color,
            marker=shown.marker,
            linewidth=0.8,
            elinewidth=0.8,
            label=shown.label,
        )


studies.add(
    Study(
        "tradeoff",
        label="Prediction quality against inference time",
        claim="InfGraND is 4.3 % more accurate than GraphSAGE and 8.56 times as fast, 4.8 % more "
        "accurate than GAT and 13.89 times as fast.",
        cases=cases,
        tables=tables,
        figures=figures,
        caption="Test {metric} against inference time; a line joins the depths of a GNN or the "
        "widths of a student",
        captions={"-request": "Test {metric} against the time that a request of 10 nodes takes"},
        settings=("transductive",),
        methods=METHODS,
        alone=True,
        bold=False,
        after=time_requests,
    )
)
