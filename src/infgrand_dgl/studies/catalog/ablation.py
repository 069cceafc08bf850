"""What the student reads, times what it minimises."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import pandas as pd

from ...config.schema import Config
from ...present.style import look
from ...registry import Study, methods, studies
from ..charts import WIDTH, Figures, Style, bars, finished, panels_of, teacher_lines, zoomed
from ..grid import Compared
from ..published import METHODS, Published, on_propagated
from ..summary import means, metric_of, models_of, ordered, relabelled
from ..tables import LINE, Lines, by_setting, gains, of_settings, paired, scored

COMPONENTS = (  # of the paper's methods
    ("mlp + propagation", "mlp"),
    ("glnn + propagation", "mlp"),
    ("glnn + propagation", "glnn"),
    ("infgrand", "infgrand loss"),
    ("infgrand loss", "mlp"),
    ("infgrand loss", "glnn"),
    ("infgrand", "glnn + propagation"),
    ("infgrand", "mlp"),
    ("infgrand", "glnn"),
)


class Student(NamedTuple):
    name: str
    label: str
    method: str
    features: Literal["raw", "propagated"]
    style: Style


def students() -> Iterator[Student]:
    """Every method on raw and on propagated features: one of them has the method's own name. (One
    that propagates at random has nothing to do with raw ones.)"""
    for m in methods.in_order():
        raw, propagated = (m.name, m.label), (m.name, m.label)
        if m.propagated:
            raw = (f"{m.name} loss", f"{m.label}, loss only")
        else:
            propagated = (f"{m.name} + propagation", f"{m.label} + propagation")
        color = look(m.name).color
        if not m.propagated or m.name in METHODS:
            yield Student(*raw, m.name, "raw", (color, ""))
        yield Student(*propagated, m.name, "propagated", (color, "////"))


def components(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Pairs of students: the paper's, and of every other method InfGraND on the same features and
    what propagation adds to it."""
    pairs = list(COMPONENTS)
    by_method: dict[str, dict[str, str]] = {}
    for student in students():
        by_method.setdefault(student.method, {})[student.features] = student.name
    for method, named in by_method.items():
        if method not in METHODS and {*named.values()} & {*rows["model"]}:
            propagated = named["propagated"]
            pairs += [("infgrand", propagated)]
            if raw := named.get("raw"):
                pairs += [("infgrand loss", raw), (propagated, raw)]
    return pairs


def cases(config: Config, published: Published) -> Compared:
    """The paper's methods have the cell's settings, all alike; another its own, where shipped."""
    configs, compared, own = {}, published.compared(config), []
    for student in students():
        if student.method not in compared:
            continue
        if student.method in METHODS:
            changed = config.replace(method=student.method)
        else:
            changed = published.student(student.method, config)
            own += [student.name] if published.own(student.method) else []
        if student.features == "raw":
            configs[student.name] = changed.replace("student", features="raw")
        elif methods[student.method].propagated:
            configs[student.name] = changed.replace("student", features="propagated")
        else:
            configs[student.name] = on_propagated(changed, config)
    yield "", config, configs, own


def tables(rows: pd.DataFrame) -> Lines:
    labels = {student.name: student.label for student in students()}
    pairs = [(labels[a], labels[b]) for a, b in components(rows)]
    given = models_of(rows, ["teacher", *(s.name for s in students() if s.method in METHODS)])
    shown = [labels.get(model, model) for model in ordered(given, ["teacher", *labels])]

    def part(rows: pd.DataFrame, column: str) -> Lines:
        table = scored(rows, LINE, shown, column)
        compared = gains(paired(rows, pairs, column), metric_of(rows))
        return [*table, "", *of_settings(rows), *compared]

    return by_setting(relabelled(rows, "model", labels), part)


def figures(rows: pd.DataFrame) -> Figures:
    labels = {student.name: student.label for student in students()}
    trained = {*rows["model"]}
    styles = {s.label: s.style for s in students() if s.method in METHODS or s.name in trained}
    table = relabelled(means(rows), "model", labels)
    figure, panels = panels_of(
        table, ["setting", "teacher"], 2.0, columns=1, width=WIDTH, sharey=True
    )
    for axes, panel in panels:
        bars(axes, panel, "dataset", styles)
        teacher_lines(axes, panel)
    return {"": finished(figure, ylabel=zoomed(figure, table, rows))}


studies.add(
    Study(
        "ablation",
        label="What each component contributes",
        claim="the loss alone improves on GLNN and the MLP; propagation alone gains 10 to 21 % "
        "on the MLP in the inductive setting; both together are best.",
        cases=cases,
        tables=tables,
        figures=figures,
        caption="Test {metric} with and without propagated inputs, for each loss",
        teachers=("gcn",),
        methods=METHODS,
    )
)
