"""Several models over several datasets (Demšar, JMLR 7, 2006): mean ranks, Friedman, Nemenyi."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from .summary import means, metric_of, name
from .tables import LINE, Lines, markdown

ALPHA = 0.05
TOO_FEW = "Ranks need two models and two lines that all of them have finished."


class Ranks(NamedTuple):
    """
    Args:
        mean: of each model, the best first.
        lines: N, over how many it is.
        chi2, f: Friedman's statistic, and Iman and Davenport's.
        p: of `f`, that all models are alike.
        distance: Nemenyi's critical one.
    """

    mean: pd.Series
    lines: int
    chi2: float
    f: float
    p: float
    distance: float

    def groups(self) -> list[tuple[str, str]]:
        """The first and the last model of each largest group whose mean ranks differ by less than
        the critical distance."""
        values = self.mean.to_numpy()
        found: list[tuple[int, int]] = []
        for i in range(len(values)):
            j = int((values - values[i] < self.distance).nonzero()[0][-1])
            if j > i and (not found or j > found[-1][1]):
                found.append((i, j))
        return [(self.mean.index[i], self.mean.index[j]) for i, j in found]


def critical_value(models: int) -> float:
    """q_α, the Studentised range of so many means with infinite degrees of freedom, over √2
    (Demšar's table 5)."""
    return float(stats.studentized_range.ppf(1 - ALPHA, models, np.inf) / np.sqrt(2))


def ranks(scores: pd.DataFrame, sign: int = 1) -> Ranks | None:
    r"""Friedman's test with k models on N lines, average ranks $R_j$ (equal scores share theirs):

    $$\chi^2_F = \frac{12N}{k(k+1)}\Big(\sum_j R_j^2 - \frac{k(k+1)^2}{4}\Big),\quad
    F_F = \frac{(N-1)\chi^2_F}{N(k-1) - \chi^2_F},\quad
    CD = q_\alpha\sqrt{\frac{k(k+1)}{6N}}$$

    (Demšar 2006, section 3.2.2); $F_F$ has $k-1$ and $(k-1)(N-1)$ degrees of freedom.

    Args:
        scores: `[N, k]`, a column for each model, none missing.
        sign: -1 where less is better.

    Returns:
        None where there are fewer than two models or two lines.
    """
    N, k = scores.shape
    if N < 2 or k < 2:
        return None
    mean = (sign * scores).round(9).rank(axis=1, ascending=False).mean().sort_values(kind="stable")
    chi2 = 12 * N / (k * (k + 1)) * (float((mean**2).sum()) - k * (k + 1) ** 2 / 4)
    rest = N * (k - 1) - chi2
    f = (N - 1) * chi2 / rest if rest > 1e-9 else np.inf
    p = float(stats.f.sf(f, k - 1, (k - 1) * (N - 1)))
    distance = critical_value(k) * np.sqrt(k * (k + 1) / (6 * N))
    return Ranks(mean, N, chi2, f, p, float(distance))


def ranks_of(rows: pd.DataFrame, models: Sequence[str], column: str = "test") -> Ranks | None:
    """Of those of the models that have finished anything, on the datasets and teachers that all of
    these have finished; scores are means over seeds."""
    table = means(rows, column)
    wide = table.pivot_table(index=LINE, columns="model", values="mean")
    wide = wide[[model for model in models if model in wide]]
    return ranks(wide.dropna(), metric_of(rows).sign)


def rank_table(found: Ranks | None) -> Lines:
    """Mean ranks in order, and whether each is critically behind the first."""
    if found is None:
        return [TOO_FEW]
    first = found.mean.iloc[0]
    body = [
        [name(model), f"{rank:.2f}", "yes" if rank - first >= found.distance else "no"]
        for model, rank in found.mean.items()
    ]
    p = f"p = {found.p:.3f}" if found.p >= 0.001 else "p < 0.001"
    f = "∞" if np.isinf(found.f) else f"{found.f:.2f}"
    k, N = len(found.mean), found.lines
    text = (
        f"Friedman's test over {N} datasets and teachers: χ² = {found.chi2:.2f}, F({k - 1}, "
        f"{(k - 1) * (N - 1)}) = {f}, {p}. Nemenyi's critical distance of mean ranks at "
        f"α = {ALPHA}: {found.distance:.2f}."
    )
    return [*markdown(["Model", "Mean rank", "Critically behind the first"], body), "", text]
