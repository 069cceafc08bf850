"""The parts of a study's Markdown: the metric, mean ± population standard deviation."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import pandas as pd

from ..training.metrics import Metric, alike
from .published import LARGE, twin_of
from .summary import (
    CELL,
    Gain,
    differences,
    distinct,
    means,
    metric_of,
    models_of,
    name,
    scores,
    without_rounding,
)

Lines = list[str]
Pairs = Sequence[tuple[str, str]]

COLD = "Inductive: hidden test nodes without edges"
LINE = ["dataset", "teacher"]  # what a line of a table is of
NO_MARKS: Mapping[tuple[str, ...], str] = {}
HEADERS = {"dataset": "Dataset", "teacher": "GNN", "case": "Labels"}


def by_setting(
    rows: pd.DataFrame, part: Callable[[pd.DataFrame, str], Lines], observed: bool = False
) -> Lines:
    """What `part` makes of each of `sections`, below its title."""
    found = sections(rows, observed)
    return [
        line
        for title, some, column in found
        for line in (f"## {title}", "", *part(some, column), "")
    ]


def sections(rows: pd.DataFrame, observed: bool) -> Iterator[tuple[str, pd.DataFrame, str]]:
    """Title, rows and column of each setting that occurs; with `observed` of those test nodes too,
    and of the hidden ones by their features alone, where that was measured."""
    columns = {"Transductive": ("transductive", "test")}
    columns["Inductive: hidden test nodes"] = ("inductive", "test")
    if observed:
        columns["Inductive: observed test nodes"] = ("inductive", "test_observed")
    if observed and "test_cold" in rows and rows["test_cold"].notna().any():
        columns[COLD] = ("inductive", "test_cold")
    for title, (setting, column) in columns.items():
        some = rows[rows["setting"] == setting]
        if len(some):
            yield title, some, column


def scored(
    rows: pd.DataFrame,
    index: Sequence[str],
    models: Sequence[str],
    column: str,
    *,
    star: tuple[str, str] | None = None,
    difference: tuple[str, str] | None = None,
    marks: Mapping[tuple[str, ...], str] = NO_MARKS,
) -> Lines:
    """A line for each of `index`, a column for each model; the best of a line in bold.

    `star` = (model, than) marks where `model` is significantly the better; the `difference` of
    two models is a last column; `marks` follow the numbers of (*index, model).
    """
    table, metric = means(rows, column).set_index([*index, "model"]), metric_of(rows)
    body = []
    for key in distinct(rows, index):
        cell = rows[(rows[list(index)] == list(key)).all(axis=1)]
        line = {m: table.loc[(*key, m)] for m in models if (*key, m) in table.index}
        best = max((metric.sign * values["mean"] for values in line.values()), default=0.0)
        texts = []
        for model in models:
            if model not in line:
                texts.append(status(cell[cell["model"].isin(["", model])]))
                continue
            text = mean_std(line[model], table["seeds"].max(), metric)
            shown = number(line[model]["mean"], metric)
            if len(line) > 1 and shown == number(metric.sign * best, metric):
                text = f"**{text}**"
            text += marks.get((*key, model), "")
            if star and model == star[0]:
                gain = Gain.of(differences(cell, *star, column))
                significant = gain.pairs >= 3 and metric.sign * gain.mean > 0 and gain.t < 0.05
                text += "\\*" if significant else ""
            texts.append(text)
        if difference:
            gain = Gain.of(differences(cell, *difference, column))
            texts.append(number(gain.mean, metric, sign="+") if gain.pairs else "–")
        body.append([*map(name, key), *texts])
    headers = [*map(HEADERS.__getitem__, index), *map(name, models)]
    return markdown([*headers, *([f"Difference ({unit(metric)})"] if difference else [])], body)


def comparisons(rows: pd.DataFrame) -> Pairs:
    """InfGraND with every other model: the methods, the last first, and the teacher."""
    return [("infgrand", model) for model in reversed(models_of(rows)) if model != "infgrand"]


def paired(rows: pd.DataFrame, pairs: Pairs, column: str) -> dict[str, pd.Series]:
    """`differences` of each pair, for `gains`."""
    return {f"{name(a)} − {name(b)}": differences(rows, a, b, column) for a, b in pairs}


def gains(series: Mapping[str, pd.Series], metric: Metric) -> Lines:
    """The mean of each series of differences, with paired tests."""
    what = "Average gain" if metric.sign > 0 else "Average difference"
    headers = [what, unit(metric, "Points"), "95 % interval", "Pairs", "Cells ahead"]
    headers += ["p, paired t", "p, Wilcoxon"]
    body = []
    for label, d in series.items():
        gain = Gain.of(d)
        if not gain.pairs:
            continue
        by_cell = metric.sign * without_rounding(d.groupby(CELL).mean(), d.abs().max())
        mean, low, high = (number(v, metric, 2, "+") for v in (gain.mean, gain.low, gain.high))
        interval = "–" if pd.isna(gain.low) else f"{low} to {high}"
        ahead = f"{(by_cell > 0).sum()} of {len(by_cell)}"
        numbers = [mean, interval, str(gain.pairs), ahead]
        body.append([label, *numbers, _p(gain.t), _p(gain.wilcoxon)])
    return markdown(headers, body) if body else ["No two models to compare have finished."]


def note(rows: pd.DataFrame, bold: bool = True) -> Lines:
    """What the numbers of every table are, and how many are missing."""
    missing = [f"{n} {s}" for s in ("failed", "not run") if (n := (rows["status"] == s).sum())]
    lines = [f"Missing: {', '.join(missing)}.", ""] if missing else []
    if scores(rows).empty:
        return ["Nothing has finished.", "", *lines]
    seeds = means(rows)["seeds"]
    spread = f"mean ± population standard deviation over {seeds.max()} seeds"
    fewer = "; a cell with fewer says so" if seeds.min() < seeds.max() else ""
    metric = metric_of(rows)
    less = "The less the better: where a difference is negative, the first is. "
    text = (
        f"Test {metric.label}{' in percent' * metric.percent}, "
        f"{spread if seeds.max() > 1 else 'one seed'}{fewer}. "
        f"{less if metric.sign < 0 else ''}"
        f"{'Bold: the best of a line, teacher included. ' if bold else ''}"
        "A pair of a paired test is a cell and a seed; the seeds of a cell share its graph."
    )
    return [text, "", *lines]


def twins(rows: pd.DataFrame) -> Lines:
    """Which generated graphs stand in for large datasets that were not at hand."""
    found = [dataset for dataset in LARGE if twin_of(dataset) in {*rows["dataset"]}]
    text = "{}: a generated graph stands in for {}, which was not at hand; no result of {}."
    return [line for d in found for line in (text.format(twin_of(d), name(d), name(d)), "")]


def of_settings(rows: pd.DataFrame) -> Lines:
    """Which methods were trained with settings of their own, and where; nothing of rows that do
    not say."""
    if "settings" not in rows or rows["settings"].dropna().empty:
        return []
    own = rows[rows["settings"] == "own"]
    parts = []
    for model in [model for model in rows["model"].unique() if model in {*own["model"]}]:
        cells = distinct(own[own["model"] == model], LINE)
        by_dataset = {d: [name(t) for of, t in cells if of == d] for d, _ in cells}
        where = (f"{name(d)} ({', '.join(given)})" for d, given in by_dataset.items())
        parts.append(f"{name(model)} on {', '.join(where)}")
    if not parts:
        return ["Settings: the cell's, InfGraND's published ones, for every method.", ""]
    return [f"Settings of their own: {'; '.join(parts)}. Else the cell's, InfGraND's.", ""]


def status(rows: pd.DataFrame) -> str:
    """Of a training that has no number."""
    return next((s for s in ("failed", "not run") if (rows["status"] == s).any()), "–")


def markdown(headers: Sequence[str], body: Iterable[Sequence[str]]) -> Lines:
    lines = [headers, ["---"] * len(headers), *body]
    return ["| " + " | ".join(line) + " |" for line in lines]


def mean_std(values: pd.Series, seeds: int, metric: Metric) -> str:
    std = f"{values['std']:.1f}" if metric.percent else alike(*values[["mean", "std"]])[1]
    spread = "" if pd.isna(values["std"]) else f" ± {std}"
    n = int(values["seeds"])
    fewer = f" ({n} seed{'s' if n > 1 else ''})" if n < seeds else ""
    return f"{number(values['mean'], metric)}{spread}{fewer}"


def number(value: float, metric: Metric, digits: int = 1, sign: str = "-") -> str:
    """Of a percentage so many decimals, of another number three significant digits more; with
    `sign` "+" also a positive one has its sign."""
    form = f".{digits}f" if metric.percent else f"#.{digits + 3}g"
    return f"{value:{sign}{form}}".rstrip(".").replace("-", "−")


def unit(metric: Metric, points: str = "points") -> str:
    """Of differences: those of percentages are points."""
    return points if metric.percent else metric.label


def _p(value: float) -> str:
    if pd.isna(value):
        return "–"
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"
