"""A study's folder as a reader finds it: a page of Markdown and its figures."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd

from ..present import style
from ..registry import Study, studies
from ..system.writing import writing
from .charts import Figures
from .summary import metric_of, name, scores
from .tables import note


def render(
    study: str,
    rows: pd.DataFrame,
    out: Path,
    *,
    extra: pd.DataFrame | None = None,
    about: str = "",
) -> list[Path]:
    """Writes `<study>.md` and its figures as PNG and SVG into `out`; returns what it wrote.

    Args:
        rows: One a trained model, with the columns of `summary.CELL`, model, seed, test,
            test_observed, ms_per_1000_nodes and status, and metric where test is not
            accuracy. A training that has no result has an empty model and the status "failed" or
            "not run".
        extra: the rows that the study's `after` made, if any.
        about: Markdown below the title: the command, the time, the environment.
    """
    plan, label = studies[study], metric_of(rows).label
    more = {} if extra is None else {plan.extra: extra}
    page = [f"# {plan.label}", ""]
    page += [f"The paper: {plan.claim}", ""] if plan.claim else []
    page += [about, ""] if about else []
    written = []
    for suffix, figure in _figures(plan, rows, more).items():
        caption = _caption(plan, rows, suffix).replace("{metric}", label)
        stem = f"{study}{suffix}"
        for file in (f"{stem}.png", f"{stem}.svg"):
            style.save(figure, out / file)
            written.append(out / file)
        page += [f"![{caption}]({stem}.png)", "", f"{caption} ([SVG]({stem}.svg)).", ""]
    page += [*note(rows, plan.bold), *plan.tables(rows, **more)]
    markdown = out / f"{study}.md"
    with writing(markdown) as partial:
        partial.write_text("\n".join(page).rstrip() + "\n")
    return [markdown, *written]


def _figures(plan: Study, rows: pd.DataFrame, more: dict[str, Any]) -> Figures:
    """None as long as nothing has finished."""
    if scores(rows).empty:
        return {}
    with mpl.rc_context(style.RC):
        figures: Figures = plan.figures(rows, **more)
        return figures


def _caption(plan: Study, rows: pd.DataFrame, suffix: str) -> str:
    """With what all panels have in common, which no title says."""
    if suffix in plan.captions:
        return plan.captions[suffix]
    settings, teachers = ({*rows[key]} for key in ("setting", "teacher"))
    common = [*settings] if len(settings) == 1 else []
    common += [f"{name(*teachers)} teacher"] if len(teachers) == 1 else []
    if "inductive" in settings:
        common.append("inductive: hidden test nodes" if len(settings) > 1 else "hidden test nodes")
    return plan.caption + (f" ({', '.join(common)})" if common else "")
