"""From rows, one a trained model, to what a paper prints: means over seeds and paired tests."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from ..present.style import ROLES, look
from ..registry import measures, methods, sources, teachers
from ..training.metrics import METRICS, Metric
from .published import METHODS, SETTINGS

CELL = ["dataset", "teacher", "setting", "case"]  # with a model and a seed: one training
SCORES = ("validation", "test", "test_observed", "test_cold", "production")


def name(value: str) -> str:
    """As tables and figures show a setting, or what `look` knows; else the value itself."""
    return value.capitalize() if value in SETTINGS else look(value).label


def ordered(values: Iterable[str], first: Sequence[str] = ()) -> list[str]:
    """Each once: `first`, then what is registered in its order, the others by their number."""
    registries = (teachers, sources, methods, measures)
    registered = [choice.name for registry in registries for choice in registry.in_order()]
    order = [*first, *SETTINGS, *ROLES, *registered]

    def key(value: str) -> tuple[int, float]:
        if value in order:
            return order.index(value), 0.0
        number = re.search(r"\d+(\.\d*)?(e[-+]?\d+)?", value)
        return len(order), float(number[0]) if number else -1.0

    return sorted(dict.fromkeys(values), key=key)


def distinct(rows: pd.DataFrame, keys: Sequence[str]) -> list[tuple[str, ...]]:
    """The values of `keys` that occur, in the order of `ordered`."""
    places = [ordered(rows[key]) for key in keys]
    occurring = rows[list(keys)].drop_duplicates().itertuples(index=False, name=None)
    return sorted(occurring, key=lambda row: [p.index(v) for p, v in zip(places, row, strict=True)])


def models_of(rows: pd.DataFrame, expected: Iterable[str] | None = None) -> list[str]:
    """`expected`, trained or not, and whatever else the rows have.

    Args:
        expected: by default the teacher; where nothing else is trained, the paper's methods too.
    """
    found = [model for model in ordered(rows["model"]) if model]
    if expected is None:
        expected = ["teacher"] if {*found} > {"teacher"} else ["teacher", *METHODS]
    expected = list(expected)
    return [*expected, *(model for model in found if model not in expected)]


def relabelled(rows: pd.DataFrame, column: str, labels: Mapping[str, str]) -> pd.DataFrame:
    """With values that only the study knows as its tables and figures show them."""
    return rows.assign(**{column: [labels.get(value, value) for value in rows[column]]})


def metric_of(rows: pd.DataFrame) -> Metric:
    """What the rows are scored by: accuracy, unless they say."""
    names = list(rows["metric"].dropna()) if "metric" in rows else []
    return METRICS[names[0] if names else "accuracy"]


def scores(rows: pd.DataFrame, column: str = "test") -> pd.Series:
    """`column` of every finished training by cell, model and seed; shares in percent."""
    done = rows[(rows["status"] == "finished") & rows[column].notna()]
    scale = float(metric_of(rows).scale) if column in SCORES else 1.0
    return scale * done.groupby([*CELL, "model", "seed"])[column].mean().astype(float)


def means(rows: pd.DataFrame, column: str = "test") -> pd.DataFrame:
    """Cell, model, mean, population std (NaN for one seed: none to speak of), seeds."""
    by_model = scores(rows, column).groupby([*CELL, "model"])
    table = pd.DataFrame(
        {"mean": by_model.mean(), "std": by_model.std(ddof=0), "seeds": by_model.size()}
    )
    table["std"] = table["std"].where(table["seeds"] > 1)
    return table.reset_index()


def differences(rows: pd.DataFrame, model: str, than: str, column: str = "test") -> pd.Series:
    """`model` minus `than`, for each cell and seed that both have finished."""
    wide = scores(rows, column).unstack("model")
    d = (wide.get(model, np.nan) - wide.get(than, pd.Series(np.nan, wide.index))).dropna()
    return without_rounding(d, wide.abs().max().max())


def without_rounding(values: Any, largest: float) -> Any:
    """Equal scores are ties: of sums and differences of numbers as large as `largest` what their
    rounding has left is cut off."""
    return values.round(10 - int(np.floor(np.log10(largest)))) if largest > 0 else values


class Gain(NamedTuple):
    """A mean difference with its 95 % interval, and the p values that it is none."""

    pairs: int
    mean: float
    low: float
    high: float
    t: float
    wilcoxon: float

    @classmethod
    def of(cls, differences: pd.Series) -> "Gain":
        d = differences.to_numpy(float)
        d = without_rounding(d, np.abs(d).max(initial=0))
        mean = float(d.mean()) if len(d) else np.nan
        # Where all differ by the same there is no variance to hold a mean against.
        if len(d) < 2 or np.ptp(d) == 0:
            return cls(len(d), mean, np.nan, np.nan, np.nan, np.nan)
        test = stats.ttest_1samp(d, 0)
        interval = test.confidence_interval(0.95)
        rank = stats.wilcoxon(d).pvalue
        return cls(len(d), mean, interval.low, interval.high, test.pvalue, rank)
