"""Mean ranks: by hand, against SciPy, and the published example."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from infgrand_dgl.studies.ranks import critical_value, rank_table, ranks, ranks_of
from tests.studies.made_up import line, results

# Demšar, JMLR 7 (2006), table 6: ranks of C4.5, with m, with cf and with both on 14 datasets.
PUBLISHED = [
    [4, 3, 2, 1],
    [1, 2, 3, 4],
    [4, 1, 2, 3],
    [4, 1, 3, 2],
    [4, 2, 3, 1],
    [1, 2.5, 4, 2.5],
    [3, 2, 4, 1],
    [2.5, 2.5, 4, 1],
    [4, 3, 2, 1],
    [2.5, 2.5, 2.5, 2.5],
    [4, 2.5, 1, 2.5],
    [3, 2, 4, 1],
    [4, 1, 2, 3],
    [3, 1, 4, 2],
]


def of(scores, sign=1):
    found = ranks(scores, sign)
    assert found is not None
    return found


def test_the_published_example():
    table = pd.DataFrame(PUBLISHED, columns=["C4.5", "m", "cf", "m+cf"])
    found = of(table, sign=-1)
    assert dict(found.mean.round(3)) == {"m+cf": 1.964, "m": 2.0, "cf": 2.893, "C4.5": 3.143}
    assert (found.lines, round(found.chi2, 2), round(found.f, 2)) == (14, 9.28, 3.69)
    assert round(found.distance, 2) == 1.25
    assert found.p == pytest.approx(stats.f.sf(found.f, 3, 39)) and found.p < 0.05
    assert found.groups() == [("m+cf", "C4.5")]  # 1.18 apart: none is significantly better


@pytest.mark.parametrize(
    ("models", "published"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)]
)
def test_published_critical_values(models, published):
    assert critical_value(models) == pytest.approx(published, abs=1e-3)


def test_against_scipy():
    table = pd.DataFrame(np.random.rand(9, 5))
    found = of(table)
    expected = stats.friedmanchisquare(*table.to_numpy().T)
    assert found.chi2 == pytest.approx(expected.statistic)
    order = stats.rankdata(-table.to_numpy(), axis=1).mean(axis=0)
    assert found.mean.sort_index().to_numpy() == pytest.approx(order)


def test_by_hand():
    """Two models on three lines, always in one order: ranks 1 and 2, the largest statistic
    N(k - 1) = 3; CD = 1.960·√(2·3 / (6·3)) = 1.132."""
    table = pd.DataFrame({"a": [0.8, 0.9, 0.7], "b": [0.7, 0.6, 0.5]})
    found = of(table)
    assert list(found.mean) == [1, 2] and found.chi2 == pytest.approx(3)
    assert found.f == np.inf and found.p == 0
    assert found.distance == pytest.approx(1.95996 / np.sqrt(3), abs=1e-4)
    assert found.groups() == [("a", "b")]  # 1 apart
    assert list(of(table, sign=-1).mean.index) == ["b", "a"]


def test_groups_are_the_largest():
    """Of thirty lines CD = 0.86: a chain whose ends are apart has two bars, the last model none."""
    row = np.array([[4.0, 3.5, 3.1, 1.0]])
    found = of(pd.DataFrame(row.repeat(30, axis=0), columns=list("abcd")))
    found = found._replace(mean=pd.Series({"a": 1.0, "b": 1.5, "c": 2.1, "d": 3.9}))
    assert round(found.distance, 2) == 0.86
    assert found.groups() == [("a", "b"), ("b", "c")]
    assert found._replace(distance=0.1).groups() == []


def test_too_few():
    assert ranks(pd.DataFrame({"a": [1.0, 2.0]})) is None
    assert ranks(pd.DataFrame({"a": [1.0], "b": [2.0]})) is None
    assert rank_table(None) == [
        "Ranks need two models and two lines that all of them have finished."
    ]


def test_lines_that_all_have_finished():
    """Cora and Citeseer count; of Pubmed one model is missing, and a third has finished nothing."""
    rows = pd.concat(
        [
            results({"glnn": [0.8, 0.6], "infgrand": [0.9, 0.7]}),
            results({"glnn": [0.8], "infgrand": [0.8]}, dataset="citeseer"),
            results({"glnn": [0.8]}, dataset="pubmed"),
        ]
    )
    found = ranks_of(rows, ["mlp", "glnn", "infgrand"])
    assert (
        found is not None
        and found.lines == 2
        and dict(found.mean) == {"infgrand": 1.25, "glnn": 1.75}
    )
    lines = rank_table(found)
    assert line(lines, "InfGraND") == ["InfGraND", "1.25", "no"]
    assert "over 2 datasets and teachers" in lines[-1] and "critical distance" in lines[-1]
    less = ranks_of(rows.assign(metric="rmse"), ["glnn", "infgrand"])
    assert less is not None and dict(less.mean) == {"glnn": 1.25, "infgrand": 1.75}
