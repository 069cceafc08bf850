"""The studies as Markdown: accuracies in percent, mean ± population standard deviation."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd

from .summary import (
    CELL,
    MEASURES,
    MODELS,
    TIMES,
    Gain,
    differences,
    distinct,
    means,
    name,
    ordered,
    scores,
    times,
)

Lines = list[str]
Pairs = list[tuple[str, str]]

FOUR = ("teacher", "mlp", "glnn", "infgrand")
AGAINST: Pairs = [("infgrand", "glnn"), ("infgrand", "mlp"), ("infgrand", "teacher")]
COMPONENTS: Pairs = [
    ("mlp + propagation", "mlp"),
    ("glnn + propagation", "mlp"),
    ("glnn + propagation", "glnn"),
    ("infgrand", "infgrand loss"),
    ("infgrand loss", "mlp"),
    ("infgrand loss", "glnn"),
    ("infgrand", "glnn + propagation"),
    ("infgrand", "mlp"),
    ("infgrand", "glnn"),
]
CELLS = ["dataset", "teacher"]  # a line of a table
HEADERS = {"dataset": "Dataset", "teacher": "GNN", "case": "Labels"}


def table1(rows: pd.DataFrame) -> Lines:
    star = "\\* above GLNN with p < 0.05: paired t-test over the seeds of the cell, uncorrected."

    def part(rows: pd.DataFrame, column: str) -> Lines:
        table = accuracies(rows, CELLS, FOUR, column, star=("infgrand", "glnn"))
        return [*table, "", star, "", *gains(_gains(rows, AGAINST, column))]

    return by_setting(rows, part, observed=True)


def high_low(rows: pd.DataFrame) -> Lines:
    # The two of a pair are cases elsewhere; here they stand side by side, as models do.
    rows = rows.assign(model=rows["case"], case="")

    def part(rows: pd.DataFrame, column: str) -> Lines:
        table = accuracies(rows, CELLS, ("high", "low"), column, difference=("high", "low"))
        return [*table, "", *gains(_gains(rows, [("high", "low")], column))]

    return by_setting(rows, part)


def label_scarce(rows: pd.DataFrame) -> Lines:
    def part(rows: pd.DataFrame, column: str) -> Lines:
        found = _gains(rows, AGAINST, column)
        for share in ordered(rows["case"]):
            some = _gains(rows[rows["case"] == share], AGAINST[:1], column)
            found |= {f"{label}, {share} of the labels": d for label, d in some.items()}
        return [*accuracies(rows, [*CELLS, "case"], FOUR, column), "", *gains(found)]

    return by_setting(rows, part)


def ablation(rows: pd.DataFrame) -> Lines:
    def part(rows: pd.DataFrame, column: str) -> Lines:
        table = accuracies(rows, CELLS, list(MODELS), column)
        return [*table, "", *gains(_gains(rows, COMPONENTS, column))]

    return by_setting(rows, part)


def sensitivity(rows: pd.DataFrame) -> Lines:
    def part(rows: pd.DataFrame, column: str) -> Lines:
        lines: Lines = []
        for parameter, values in parameters(rows).items():
            models = [value for value in ordered(values["model"]) if value]
            table = accuracies(values, CELLS, models, column)
            lines += [f"### {name(parameter)}", "", *table, ""]
        return lines[:-1] or ["Nothing has finished."]

    return by_setting(rows, part)


def measures(rows: pd.DataFrame, correlations: pd.DataFrame | None = None) -> Lines:
    students = [measure for measure in MEASURES if (rows["model"] == measure).any()]
    against = [("cosine", than) for than in students if than != "cosine"]

    def part(rows: pd.DataFrame, column: str) -> Lines:
        table = accuracies(rows, CELLS, ["teacher", *students], column)
        return [*table, "", *gains(_gains(rows, against, column))]

    lines = by_setting(rows, part)
    if correlations is None or correlations.empty:
        return lines
    heading = ["## Rank correlations of the measures", "", "Spearman's ρ over the nodes.", ""]
    return [*lines, *heading, *rank_correlations(correlations), ""]


def rank_correlations(correlations: pd.DataFrame) -> Lines:
    datasets = ordered(correlations["dataset"])
    seen: set[tuple[str, str]] = set()  # ρ is the same both ways
    body = []
    for one in ordered(correlations["measure"]):
        for other in ordered(correlations["with"]):
            pair = (correlations["measure"] == one) & (correlations["with"] == other)
            if one == other or not pair.any() or (other, one) in seen:
                continue
            seen.add((one, other))
            line = [name(one), name(other)]
            for dataset in datasets:
                rho = correlations.loc[pair & (correlations["dataset"] == dataset), "spearman"]
                rho = rho.dropna()
                spread = f" ± {rho.std(ddof=0):.2f}" if len(rho) > 1 else ""
                line.append(f"{rho.mean():z.2f}{spread}".replace("-", "−") if len(rho) else "–")
            body.append(line)
    return markdown(["Measure", "With", *map(name, datasets)], body)


def tradeoff(rows: pd.DataFrame) -> Lines:
    clocks = times(rows)
    headers = ["Dataset", "Model", "Test accuracy (%)", "InfGraND is more accurate by"]
    headers += [header for clock in clocks for header in (TIMES[clock], "InfGraND is faster by")]

    def part(rows: pd.DataFrame, column: str) -> Lines:
        keys = ["dataset", "model", "teacher", "case"]
        found = means(rows, column).set_index(keys)
        for other in ("validation", *clocks):
            found[other] = means(rows, other).set_index(keys)["mean"]
        body = []
        for key in distinct(_without_stand_ins(rows), keys):
            dataset, model, teacher, case = key
            line = [name(dataset), model_label(model, teacher, case)]
            if key not in found.index:
                line.append(status(rows[(rows[keys] == list(key)).all(axis=1)]))
                body.append([*line, *["–"] * (len(headers) - len(line))])
                continue
            own = found.loc[key]
            line += [_pm(own, found["seeds"].max()), "–"]
            line += [text for clock in clocks for text in (_digits(own[clock]), "–")]
            student = reference(found, dataset, teacher)
            if student is not None and student.name != key:
                line[3] = f"{_signed(student['mean'] - own['mean'], 1)} points"
                line[5::2] = [_digits(own[clock] / student[clock], " ×") for clock in clocks]
            body.append(line)
        return markdown(headers, body)

    compared = (
        "The InfGraND compared with was distilled from the same architecture (else from the "
        "first); of several widths it is the best on the validation nodes."
    )
    return [compared, "", *by_setting(rows, part)]


def reference(found: pd.DataFrame, dataset: str, teacher: str) -> pd.Series | None:
    """The InfGraND of `found` (by dataset, model, teacher, case) to compare a teacher with."""
    students = [key for key in found.index if key[:2] == (dataset, "infgrand")]
    if not students:
        return None
    teachers = ordered(key[2] for key in students)
    own = teacher if teacher in teachers else teachers[0]
    same = [found.loc[key] for key in students if key[2] == own]
    return max(same, key=lambda values: values["validation"])


def model_label(model: str, teacher: str, case: str) -> str:
    """A teacher is its architecture; a student says whose."""
    label = name(teacher) if model in ("teacher", "") else f"{name(model)} ({name(teacher)})"
    return f"{label}, {case}" if case else label


def parameters(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows in which each parameter varies, its value in the place of the model."""
    split = rows["case"].str.partition("=")
    varied = rows.assign(case=split[0], model=split[2])[rows["case"] != ""]
    waiting = rows[(rows["model"] == "") & (rows["case"] == "")]  # stand for every parameter
    return {
        key: pd.concat([varied[varied["case"] == key], waiting.assign(case=key)])
        for key in ordered(varied["case"])
    }


def by_setting(
    rows: pd.DataFrame, part: Callable[[pd.DataFrame, str], Lines], observed: bool = False
) -> Lines:
    """A section for each setting; with `observed` one for those test nodes too."""
    sections = {"Transductive": ("transductive", "test")}
    sections["Inductive: hidden test nodes"] = ("inductive", "test")
    if observed:
        sections["Inductive: observed test nodes"] = ("inductive", "test_observed")
    lines: Lines = []
    for title, (setting, column) in sections.items():
        some = rows[rows["setting"] == setting]
        if len(some):
            lines += [f"## {title}", "", *part(some, column), ""]
    return lines


def accuracies(
    rows: pd.DataFrame,
    index: Sequence[str],
    models: Sequence[str],
    column: str,
    *,
    star: tuple[str, str] | None = None,
    difference: tuple[str, str] | None = None,
) -> Lines:
    """A line for each of `index`, a column for each model; the best of a line in bold.

    `star` = (model, than) marks where `model` is significantly the better; the `difference` of
    two models is a last column.
    """
    found = means(rows, column).set_index([*index, "model"])
    body = []
    for key in distinct(rows, index):
        cell = rows[(rows[list(index)] == list(key)).all(axis=1)]
        line = {m: found.loc[(*key, m)] for m in models if (*key, m) in found.index}
        best = max((round(own["mean"], 1) for own in line.values()), default=0.0)
        texts = []
        for model in models:
            if model not in line:
                texts.append(status(cell[cell["model"].isin(["", model])]))
                continue
            text = _pm(line[model], found["seeds"].max())
            if len(line) > 1 and round(line[model]["mean"], 1) == best:
                text = f"**{text}**"
            if star and model == star[0]:
                gain = Gain.of(differences(cell, *star, column))
                significant = gain.pairs >= 3 and gain.mean > 0 and gain.t < 0.05
                text += "\\*" if significant else ""
            texts.append(text)
        if difference:
            gain = Gain.of(differences(cell, *difference, column))
            texts.append(_signed(gain.mean, 1) if gain.pairs else "–")
        body.append([*map(name, key), *texts])
    headers = [*map(HEADERS.__getitem__, index), *map(name, models)]
    return markdown([*headers, *(["Difference (points)"] if difference else [])], body)


def gains(found: Mapping[str, pd.Series]) -> Lines:
    """The mean of each series of differences, with paired tests."""
    headers = ["Average gain", "Points", "95 % interval", "Pairs", "Cells ahead"]
    headers += ["p, paired t", "p, Wilcoxon"]
    body = []
    for label, d in found.items():
        gain = Gain.of(d)
        if not gain.pairs:
            continue
        by_cell = d.groupby(CELL).mean().round(9)
        interval = "–" if pd.isna(gain.low) else f"{_signed(gain.low)} to {_signed(gain.high)}"
        ahead = f"{(by_cell > 0).sum()} of {len(by_cell)}"
        numbers = [_signed(gain.mean), interval, str(gain.pairs), ahead]
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
    text = (
        f"Test accuracy in percent, {spread if seeds.max() > 1 else 'one seed'}{fewer}. "
        f"{'Bold: the best of a line, teacher included. ' if bold else ''}"
        "A pair of a paired test is a cell and a seed; the seeds of a cell share its graph."
    )
    return [text, "", *lines]


def status(rows: pd.DataFrame) -> str:
    """Of a training that has no number."""
    return next((s for s in ("failed", "not run") if (rows["status"] == s).any()), "–")


def markdown(headers: Sequence[str], body: Iterable[Sequence[str]]) -> Lines:
    lines = [headers, ["---"] * len(headers), *body]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _gains(rows: pd.DataFrame, against: Pairs, column: str) -> dict[str, pd.Series]:
    return {f"{name(a)} − {name(b)}": differences(rows, a, b, column) for a, b in against}


def _without_stand_ins(rows: pd.DataFrame) -> pd.DataFrame:
    """Without the rows of no model whose cell has models from another seed."""
    cell = pd.MultiIndex.from_frame(rows[CELL])
    trained = rows["model"] != ""
    return rows[trained | ~cell.isin(cell[trained])]


def _pm(values: pd.Series, seeds: int) -> str:
    spread = "" if pd.isna(values["std"]) else f" ± {values['std']:.1f}"
    n = int(values["seeds"])
    fewer = f" ({n} seed{'s' if n > 1 else ''})" if n < seeds else ""
    return f"{values['mean']:.1f}{spread}{fewer}"


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _digits(value: float, unit: str = "") -> str:
    return "–" if pd.isna(value) else f"{value:.3g}{unit}"


def _p(value: float) -> str:
    if pd.isna(value):
        return "–"
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"
