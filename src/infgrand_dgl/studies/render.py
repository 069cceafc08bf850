"""A study's folder as a reader finds it: a page of Markdown and its figures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import pandas as pd

from ..present import style
from ..system.writing import writing
from . import charts, tables
from .summary import name, scores


class _Study(NamedTuple):
    title: str
    claim: str  # the paper's
    tables: Callable[..., tables.Lines]
    figures: Callable[..., charts.Figures]
    caption: str


STUDIES = {
    "table1": _Study(
        "InfGraND beside its teachers and the other students",
        "InfGraND is the most accurate in most cells, often above its teacher; on average 12.6 % "
        "above the MLP in the transductive setting and 9.3 % in the inductive one.",
        tables.table1,
        charts.table1,
        "Test accuracy of every model",
    ),
    "high-low": _Study(
        "Training a GNN on the nodes of high or of low influence",
        "a GNN trained on the quarter of the training nodes of highest influence is the better "
        "on every dataset, whatever the architecture.",
        tables.high_low,
        charts.high_low,
        "Test accuracy of GNNs trained on nodes of high and of low influence",
    ),
    "label-scarce": _Study(
        "Few labels",
        "with 10, 20 and 40 % of the training labels InfGraND is on average 4.17 % above GLNN.",
        tables.label_scarce,
        charts.label_scarce,
        "Test accuracy by the share of the training labels",
    ),
    "ablation": _Study(
        "What each component contributes",
        "the loss alone improves on GLNN and the MLP; propagation alone gains 10 to 21 % on the "
        "MLP in the inductive setting; both together are best.",
        tables.ablation,
        charts.ablation,
        "Test accuracy with and without propagated inputs, for each loss",
    ),
    "tradeoff": _Study(
        "Accuracy against inference time",
        "InfGraND is 4.3 % more accurate than GraphSAGE and 8.56 times as fast, 4.8 % more "
        "accurate than GAT and 13.89 times as fast.",
        tables.tradeoff,
        charts.tradeoff,
        "Test accuracy against inference time; a line joins the depths of a GNN or the widths of "
        "a student",
    ),
    "sensitivity": _Study(
        "Sensitivity to the hyperparameters",
        "",
        tables.sensitivity,
        charts.sensitivity,
        "Test accuracy of InfGraND as one hyperparameter varies, its values at even distances",
    ),
    "measures": _Study(
        "Other measures of influence",
        "",
        tables.measures,
        charts.measures,
        "Test accuracy of the student under each measure of influence",
    ),
}
CAPTIONS = {
    "-request": "Test accuracy against the time that a request of 10 nodes takes",
    "-correlations": "Mean rank correlation of the measures over the seeds",
}


def render(
    study: str,
    rows: pd.DataFrame,
    out: Path,
    *,
    correlations: pd.DataFrame | None = None,
    about: str = "",
) -> list[Path]:
    """Writes `<study>.md` and its figures as PNG and SVG into `out`; returns what it wrote.

    Args:
        rows: One a trained model, with the columns of `summary.CELL`, model, seed, test,
            test_observed, ms_per_1000_nodes and status. A training that has no result has an
            empty model and the status "failed" or "not run".
        correlations: Of `measures`: dataset, seed, measure, with, spearman.
        about: Markdown below the title: the command, the time, the environment.
    """
    kind = STUDIES[study]
    extra = {"correlations": correlations} if study == "measures" else {}
    page = [f"# {kind.title}", ""]
    page += [f"The paper: {kind.claim}", ""] if kind.claim else []
    page += [about, ""] if about else []
    written = []
    for suffix, figure in _figures(kind, rows, extra).items():
        caption = _caption(kind, rows, suffix)
        stem = f"{study}{suffix}"
        for file in (f"{stem}.png", f"{stem}.svg"):
            style.save(figure, out / file)
            written.append(out / file)
        page += [f"![{caption}]({stem}.png)", "", f"{caption} ([SVG]({stem}.svg)).", ""]
    page += [*tables.note(rows, bold=study != "tradeoff"), *kind.tables(rows, **extra)]
    markdown = out / f"{study}.md"
    with writing(markdown) as partial:
        partial.write_text("\n".join(page).rstrip() + "\n")
    return [markdown, *written]


def _figures(kind: _Study, rows: pd.DataFrame, extra: dict[str, Any]) -> charts.Figures:
    """None as long as nothing has finished."""
    if scores(rows).empty:
        return {}
    with mpl.rc_context(style.RC):
        return kind.figures(rows, **extra)


def _caption(kind: _Study, rows: pd.DataFrame, suffix: str) -> str:
    """With what all panels have in common, which no title says."""
    if suffix:
        return CAPTIONS[suffix]
    settings, teachers = ({*rows[key]} for key in ("setting", "teacher"))
    common = [*settings] if len(settings) == 1 else []
    common += [f"{name(*teachers)} teacher"] if len(teachers) == 1 else []
    if "inductive" in settings:
        common.append("inductive: hidden test nodes" if len(settings) > 1 else "hidden test nodes")
    return kind.caption + (f" ({', '.join(common)})" if common else "")
