"""Means and paired tests, by hand and against SciPy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from infgrand_dgl.studies.summary import Gain, differences, means, ordered

from .made_up import results


def test_order_of_the_paper_and_then_of_numbers():
    assert ordered(["coauthor-cs", "cora", "cora"]) == ["cora", "coauthor-cs"]
    assert ordered(["infgrand", "teacher", "glnn"]) == ["teacher", "glnn", "infgrand"]
    assert ordered(["40 %", "10 %", ""]) == ["", "10 %", "40 %"]
    assert ordered(["10", "1e-3", "0.5"]) == ["1e-3", "0.5", "10"]


def test_means_in_percent_with_population_deviation():
    found = means(results({"glnn": [0.80, 0.82, 0.84], "mlp": [0.6]}))
    glnn, mlp = found.set_index("model").loc[["glnn", "mlp"]].itertuples()
    assert (glnn.mean, glnn.std, glnn.seeds) == pytest.approx((82, np.sqrt(8 / 3), 3))
    assert (mlp.mean, mlp.seeds) == pytest.approx((60, 1)) and np.isnan(mlp.std)


def test_only_what_has_finished_counts():
    rows = results({"glnn": [0.80, 0.82, 0.84]})
    rows.loc[2, ["status", "test", "model"]] = ["failed", np.nan, ""]
    (found,) = means(rows).itertuples()
    assert (found.mean, found.std, found.seeds) == pytest.approx((81, 1, 2))
    assert means(rows.iloc[2:]).empty and means(rows.iloc[:0]).empty


def test_differences_pair_what_both_have_finished():
    rows = results({"infgrand": [0.83, 0.85, 0.90], "glnn": [0.82, 0.82]})
    assert differences(rows, "infgrand", "glnn").tolist() == pytest.approx([1, 3])
    assert differences(rows, "infgrand", "mlp").empty
    assert differences(rows.iloc[:0], "infgrand", "mlp").empty


def test_gain_against_scipy():
    a, b = np.random.default_rng(0).normal(80, 2, (2, 12))
    gain = Gain.of(pd.Series(a - b))
    paired = stats.ttest_rel(a, b)
    assert (gain.pairs, gain.mean) == (12, pytest.approx((a - b).mean()))
    assert (gain.low, gain.high) == pytest.approx(tuple(paired.confidence_interval(0.95)))
    assert gain.t == pytest.approx(paired.pvalue)
    assert gain.wilcoxon == pytest.approx(stats.wilcoxon(a, b).pvalue)


def test_gain_by_hand():
    """1, 2, 3: t = 2 / (1 / √3) with two degrees of freedom; all three ranks positive."""
    gain = Gain.of(pd.Series([1.0, 2.0, 3.0]))
    t = 2 * np.sqrt(3)
    assert gain.t == pytest.approx(1 - t / np.sqrt(2 + t**2))
    assert gain.high - gain.mean == pytest.approx(4.302653 / np.sqrt(3))
    assert gain.wilcoxon == pytest.approx(2 / 2**3)


@pytest.mark.parametrize("d", [[], [1.0], [0.0, 0.0, 0.0], [0.1 + 0.2, 0.3, 0.3]])
def test_no_test_without_variance(d):
    gain = Gain.of(pd.Series(d, dtype=float))
    assert gain.pairs == len(d)
    assert np.isnan([gain.low, gain.high, gain.t, gain.wilcoxon]).all()


@pytest.mark.parametrize("pairs", [2, 3, 5, 8, 14])
def test_ties_and_few_pairs_warn_of_nothing(pairs):
    d = pd.Series(np.random.randint(-1, 2, pairs) / 10)
    gain = Gain.of(d)  # a warning is an error here
    assert gain.pairs == pairs and gain.mean == pytest.approx(d.mean())
    assert np.isnan(gain.t) == (d.nunique() == 1)
