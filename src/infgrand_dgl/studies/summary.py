"""From rows, one a trained model, to what a paper prints: means over seeds and paired tests."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from ..present import style

CELL = ["dataset", "teacher", "setting", "case"]  # with a model and a seed: one training

DATASETS = {
    "cora": "Cora",
    "citeseer": "Citeseer",
    "pubmed": "Pubmed",
    "amazon-photo": "Amazon-Photo",
    "coauthor-cs": "Coauthor-CS",
    "coauthor-physics": "Coauthor-Physics",
}
MODELS = {
    "teacher": "Teacher",
    "mlp": "MLP",
    "mlp + propagation": "MLP + propagation",
    "glnn": "GLNN",
    "glnn + propagation": "GLNN + propagation",
    "infgrand loss": "InfGraND, loss only",
    "infgrand": "InfGraND",
}
MEASURES = {
    "cosine": "Cosine",
    "jacobian": "Jacobian",
    "pagerank": "PageRank",
    "degree": "Degree",
    "entropy": "Entropy",
    "hybrid": "Hybrid",
    "uniform": "Uniform",
    "centroid cosine": "Centroid cosine",
}
PARAMETERS = {
    "lambda": "λ",
    "tau": "τ",
    "gamma2/gamma1": "γ₂ / γ₁",
    "hops": "Hops P",
    "pooling": "Pooling",
}
SETTINGS = {"transductive": "Transductive", "inductive": "Inductive"}
TIMES = {
    "ms_per_1000_nodes": "ms per 1000 nodes",
    "ms_per_request": "ms per request of 10 nodes",
}
INFLUENCE = {"high": "High influence", "low": "Low influence"}
NAMES = style.NAMES | DATASETS | MODELS | MEASURES | PARAMETERS | INFLUENCE | SETTINGS
ORDER = [
    *(*SETTINGS, "gcn", "sage", "gat"),
    *(*DATASETS, *MODELS, *MEASURES, *PARAMETERS, *INFLUENCE),
    *("mean", "max", "min"),
]


def name(value: str) -> str:
    return NAMES.get(value, value)


def ordered(values: Iterable[str]) -> list[str]:
    """Each once: those with a name in the order of the paper, the others by their number."""

    def key(value: str) -> tuple[int, float]:
        if value in ORDER:
            return ORDER.index(value), 0.0
        number = re.search(r"\d+(\.\d*)?(e[-+]?\d+)?", value)
        return len(ORDER), float(number[0]) if number else -1.0

    return sorted(dict.fromkeys(values), key=key)


def distinct(rows: pd.DataFrame, keys: Sequence[str]) -> list[tuple[str, ...]]:
    """The values of `keys` that occur, in the order of the paper."""
    places = [ordered(rows[key]) for key in keys]
    found = rows[list(keys)].drop_duplicates().itertuples(index=False, name=None)
    return sorted(found, key=lambda row: [p.index(v) for p, v in zip(places, row, strict=True)])


def scores(rows: pd.DataFrame, column: str = "test") -> pd.Series:
    """`column` of every finished training by cell, model and seed; accuracies in percent."""
    done = rows[(rows["status"] == "finished") & rows[column].notna()]
    percent = 1.0 if column in TIMES else 100.0
    return percent * done.groupby([*CELL, "model", "seed"])[column].mean().astype(float)


def times(rows: pd.DataFrame) -> list[str]:
    """The columns of `TIMES` that were measured."""
    return [column for column in TIMES if column in rows and not scores(rows, column).empty]


def means(rows: pd.DataFrame, column: str = "test") -> pd.DataFrame:
    """Cell, model, mean, population std (NaN for one seed: none to speak of), seeds."""
    by_model = scores(rows, column).groupby([*CELL, "model"])
    found = pd.DataFrame(
        {"mean": by_model.mean(), "std": by_model.std(ddof=0), "seeds": by_model.size()}
    )
    found["std"] = found["std"].where(found["seeds"] > 1)
    return found.reset_index()


def differences(rows: pd.DataFrame, model: str, than: str, column: str = "test") -> pd.Series:
    """`model` minus `than` in points, for each cell and seed that both have finished."""
    wide = scores(rows, column).unstack("model")
    return (wide.get(model, np.nan) - wide.get(than, pd.Series(np.nan, wide.index))).dropna()


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
        d = differences.to_numpy(float).round(9)  # equal accuracies are ties
        mean = float(d.mean()) if len(d) else np.nan
        # Where all differ by the same there is no variance to hold a mean against.
        if len(d) < 2 or np.ptp(d) == 0:
            return cls(len(d), mean, np.nan, np.nan, np.nan, np.nan)
        test = stats.ttest_1samp(d, 0)
        interval = test.confidence_interval(0.95)
        rank = stats.wilcoxon(d).pvalue
        return cls(len(d), mean, interval.low, interval.high, test.pvalue, rank)
