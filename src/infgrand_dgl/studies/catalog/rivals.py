"""InfGraND's rivals under one teacher: on their own inputs, and all on propagated ones."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...config.schema import Config
from ...present.style import BLACK, look
from ...registry import Study, methods, studies
from ..charts import DASHES, Figures, Kwargs, finished, panels_of, scale_of
from ..collapsed import MEANS, collapsed, collapsed_table, marks, without
from ..diagram import diagrams
from ..grid import Compared
from ..published import Published, Students, on_propagated, taught_by
from ..ranks import rank_table, ranks_of
from ..summary import means, metric_of, models_of, name, relabelled
from ..tables import LINE, Lines, by_setting, gains, of_settings, paired, scored, sections

PROPAGATED = " + propagation"
RECIPE = "Recipe"
VERSIONS = {False: "Each on its own inputs", True: "Each on propagated features"}
ABOUT = (
    "One teacher serves all students of a cell and seed: that of the published experiment. "
    "*Propagated features* are the cell's; methods that propagate by themselves keep theirs. "
    "*Recipe* is `experiments/best/<dataset>.yaml`: its student, under the cell's teacher. "
    "Nodes *without edges* (cold start) are known by their features alone. Every number is of "
    "the epoch that is best on the validation nodes."
)
COMPARED = "Paired over cells and seeds, uncorrected for the number of comparisons:"


def cases(config: Config, published: Published) -> Compared:
    """Each method by its own settings where they are shipped, on its own inputs and on the cell's
    propagated ones; what else is shipped for the dataset, and its recipe."""
    students: Students = {}
    own = []
    for method in published.compared(config):
        student = published.student(method, config)
        pair = {method: student}
        if not student.reads_propagated:
            pair[method + PROPAGATED] = on_propagated(student, config)
        students |= pair
        own += [*pair] if published.own(method) else []
    shipped = {name.upper(): other for name, other in published.others().items()}
    recipe = published.recipe()
    shipped |= {} if recipe is None else {RECIPE: recipe}
    students |= {name: taught_by(config, other) for name, other in shipped.items()}
    own += shipped
    yield "", config, students, own


def version(rows: pd.DataFrame, propagated: bool) -> pd.DataFrame:
    """The rows of one of the two, models by their methods' names."""
    trained = {*rows["model"]}
    theirs = {model + PROPAGATED: model for model in trained if model + PROPAGATED in trained}
    left = theirs.values() if propagated else theirs.keys()
    return relabelled(rows[~rows["model"].isin([*left])], "model", theirs)


def reference(rows: pd.DataFrame) -> str:
    """What the others are compared with: the recipe, InfGraND, or else the last method."""
    models = models_of(rows)
    return next((model for model in (RECIPE, "infgrand") if model in models), models[-1])


def differences_from(first: str, rows: pd.DataFrame, column: str) -> dict[str, pd.Series]:
    """Of `first` minus every other model; where seeds have collapsed without them, too."""
    models = [model for model in models_of(rows) if model != first]
    series = paired(rows, [(first, model) for model in models], column)
    fallen = {*collapsed(rows)["model"]}
    pairs = [(first, model) for model in models if fallen & {first, model}]
    less = paired(without(rows), pairs, column)
    return series | {f"{pair}, without collapsed seeds": d for pair, d in less.items()}


def tables(rows: pd.DataFrame) -> Lines:
    def part(rows: pd.DataFrame, column: str) -> Lines:
        lines: Lines = []
        for propagated, title in VERSIONS.items():
            some = version(rows, propagated)
            models, first = models_of(some), reference(some)
            students = [model for model in models if model != "teacher"]
            series = differences_from(first, some, column)
            lines += [f"### {title}", "", *scored(some, LINE, models, column, marks=marks(some))]
            lines += ["", *([] if propagated else of_settings(some)), COMPARED, ""]
            lines += [*gains(series, metric_of(some)), ""]
            lines += [*rank_table(ranks_of(some, students, column)), ""]
        return lines[:-1]

    labels = {m.name + PROPAGATED: f"{m.label} + propagation" for m in methods.in_order()}
    below = ["## Collapsed seeds", "", *collapsed_table(rows, labels), ""]
    return [ABOUT, "", MEANS, "", *by_setting(rows, part, observed=True), *below]


def figures(rows: pd.DataFrame) -> Figures:
    found = {"": _scores(rows)}
    panels = {}
    for title, some, column in sections(rows, observed=True):
        for propagated, words in VERSIONS.items():
            these = version(some, propagated)
            students = [model for model in models_of(these) if model != "teacher"]
            ranked = ranks_of(these, students, column)
            if ranked is not None:
                panels[f"{title}\n{words.lower()}"] = ranked
    if panels:
        found["-ranks"] = diagrams(panels)
    return found


def _scores(rows: pd.DataFrame) -> Figure:
    """A line for each method from its own inputs, a filled point, to propagated ones, a hollow."""
    table = means(rows)
    models = [m for m in models_of(table) if m != "teacher" and not m.endswith(PROPAGATED)]
    height = 0.17 * len(models) + 0.45
    figure, panels = panels_of(table, ["setting", "teacher", "dataset"], height, sharey=True)
    for axes, panel in panels:
        axes.title.set_fontsize(6.5 if len(axes.get_title()) > 25 else 9)
        _panel(axes, panel.set_index("model")[["mean", "std"]], models)
    return finished(figure, scale_of(rows))


def _panel(axes: Axes, values: pd.DataFrame, models: list[str]) -> None:
    if "teacher" in values.index:
        style: Kwargs = {"color": BLACK, "linestyle": DASHES, "linewidth": 1.0}
        axes.axvline(values["mean"]["teacher"], label=name("teacher"), **style)
    for y, model in enumerate(models):
        shown, ends = look(model), []
        for key, face in ((model, shown.color), (model + PROPAGATED, "white")):
            if key not in values.index:
                continue
            mean, std = values.loc[key]
            ends.append(mean)
            axes.errorbar(mean, y, xerr=std, fmt=shown.marker, color=shown.color, mfc=face)
        axes.plot(ends, [y] * len(ends), color=shown.color, linewidth=0.8, zorder=1)
    for label, face in (("Own inputs", BLACK), ("Propagated features", "white")):
        axes.plot([np.nan], [np.nan], "o", color=BLACK, markerfacecolor=face, label=label)
    axes.set_yticks(range(len(models)), map(name, models), fontsize=7.5)
    axes.set_ylim(len(models) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=5)
    axes.grid(axis="x")


studies.add(
    Study(
        "rivals",
        label="InfGraND and its rivals",
        cases=cases,
        tables=tables,
        figures=figures,
        caption="Test {metric} of every method on its own inputs and on propagated features",
        captions={
            "-ranks": "Mean ranks over datasets and teachers, the best to the left; a bar joins "
            "models whose ranks differ by less than Nemenyi's critical distance"
        },
        datasets=("cora", "citeseer", "amazon-photo", "coauthor-cs"),
        seeds=tuple(range(2022, 2032)),
        methods=("all",),
    )
)
