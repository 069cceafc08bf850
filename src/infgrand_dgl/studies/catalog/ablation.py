"""What the student reads, times what it minimises."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import pandas as pd

from ...config.schema import Config
from ...present.style import look
from ...registry import Study, methods, studies
from ..charts import WIDTH, Figures, Style, bars, finished, panels_of, teacher_lines, zoomed
from ..grid import Cases, fits
from ..summary import means, metric_of, models_of, relabelled
from ..tables import LINE, Lines, by_setting, gains, paired, scored

COMPONENTS = (
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
    """Every method on raw and on propagated features: one of them has the method's own name."""
    for m in methods.in_order():
        raw, propagated = (m.name, m.label), (m.name, m.label)
        if m.propagated:
            raw = (f"{m.name} loss", f"{m.label}, loss only")
        else:
            propagated = (f"{m.name} + propagation", f"{m.label} + propagation")
        color = look(m.name).color
        yield Student(*raw, m.name, "raw", (color, ""))
        yield Student(*propagated, m.name, "propagated", (color, "////"))


def cases(config: Config) -> Cases:
    configs = {}
    for student in students():
        if not fits(methods[student.method], config):
            continue
        changed = config.model_copy(update={"method": student.method})
        configs[student.name] = changed.replace("student", features=student.features)
    yield "", config, configs


def tables(rows: pd.DataFrame) -> Lines:
    labels = {student.name: student.label for student in students()}
    pairs = [(labels[a], labels[b]) for a, b in COMPONENTS]

    def part(rows: pd.DataFrame, column: str) -> Lines:
        models = models_of(rows, ["teacher", *labels.values()])
        table = scored(rows, LINE, models, column)
        return [*table, "", *gains(paired(rows, pairs, column), metric_of(rows))]

    return by_setting(relabelled(rows, "model", labels), part)


def figures(rows: pd.DataFrame) -> Figures:
    labels = {student.name: student.label for student in students()}
    styles = {student.label: student.style for student in students()}
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
    )
)
