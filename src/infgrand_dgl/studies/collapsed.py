"""Students that have not learnt from their teacher: counted and shown, in no mean unnoticed."""

from collections.abc import Mapping

import pandas as pd

from ..experiment.collapse import GAP
from ..registry import methods
from .summary import CELL, metric_of, name, ordered
from .tables import LINE, Lines, markdown, number

MEANS = (
    "† n: in n of the seeds the student collapsed: its validation score ended more than "
    f"{100 * GAP:.0f} points below its teacher's, or did so before it was trained once more "
    "without weight decay. The mean has them all; the last table has it without them. Of MLPs "
    "that have labels alone to learn from none is counted."
)


def counts(model: str) -> bool:
    """Whether a student is one of a method that has more to learn from than labels, or a recipe's:
    another may be as far below a teacher as it is weak."""
    base = model.partition(" + ")[0]
    return base != "mlp" and (base in methods or model == "Recipe")


def collapsed(rows: pd.DataFrame) -> pd.DataFrame:
    """Those of the finished trainings, whose own validation score is far below the teacher's of
    the same cell and seed or that were `retrained`; of numbers none, as in
    `experiment.collapse`."""
    done = rows[rows["status"] == "finished"]
    keys = [*CELL, "seed"]
    teachers = done[done["model"] == "teacher"][[*keys, "validation"]]
    both = done.merge(teachers, on=keys, how="left", suffixes=("", "_teacher"))
    behind = both["validation_teacher"] - both["validation"] > GAP
    again = both["retrained"].eq(True) if "retrained" in both else False
    counted = both["model"].map(counts).astype(bool) & (metric_of(rows).tasks != ("regression",))
    return both[(behind | again) & counted]


def without(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows but for `collapsed` ones."""
    keys = [*CELL, "seed", "model"]
    gone = pd.MultiIndex.from_frame(collapsed(rows)[keys])
    return rows[~pd.MultiIndex.from_frame(rows[keys]).isin(gone)]


def marks(rows: pd.DataFrame) -> Mapping[tuple[str, ...], str]:
    """What `tables.scored` shows of each dataset, teacher and model that has such seeds."""
    counts = collapsed(rows).groupby([*LINE, "model"]).size()
    return {tuple(key): f" †{count}" for key, count in counts.items()}


def collapsed_table(rows: pd.DataFrame, labels: Mapping[str, str]) -> Lines:
    """A line for each model of a cell that has such seeds.

    Args:
        labels: of models that only the study knows.
    """
    found, metric = collapsed(rows), metric_of(rows)
    scale = metric.scale
    keys = ["setting", *LINE, "model"]
    everything = rows[rows["status"] == "finished"].groupby(keys)["test"]
    body = []
    places = [*(ordered(rows[key]) for key in keys[:-1]), [*rows["model"].unique()]]
    for key in sorted(found.groupby(keys).groups, key=lambda k: _place(places, k)):
        those = found[(found[keys] == list(key)).all(axis=1)].sort_values("seed")
        every = everything.get_group(key)
        rest = (every.sum() - those["test"].sum()) / max(1, len(every) - len(those))
        scores = ", ".join(number(scale * value, metric) for value in those["test"])
        left = number(scale * rest, metric) if len(every) > len(those) else "–"
        whose = [*map(name, key[:-1]), labels.get(key[-1]) or name(key[-1])]
        seeds = ", ".join(map(str, those["seed"]))
        again = "retrained" in those and those["retrained"].eq(True).sum()
        body.append(
            [*whose, seeds, str(int(again)), scores, number(scale * every.mean(), metric), left]
        )
    if not body:
        return ["No student collapsed."]
    headers = [
        "Setting",
        "Dataset",
        "GNN",
        "Model",
        "Seeds",
        "Second training kept",
        "Their test",
    ]
    return markdown([*headers, "Mean of all seeds", "Without them"], body)


def _place(places: list[list[str]], key: tuple[str, ...]) -> list[int]:
    return [place.index(value) for place, value in zip(places, key, strict=True)]
