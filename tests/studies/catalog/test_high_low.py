"""Nodes of high influence beside those of low."""

import pandas as pd

from infgrand_dgl.studies.catalog import high_low
from tests.studies.made_up import line, results
from tests.studies.small import cells


def test_teachers_alone():
    high, low = cells("high-low", seeds=[1])
    assert [c.config.data.label_choice for c in (high, low)] == ["high", "low"]
    assert high.config.data.label_rate == 0.25 and not high.students


def test_high_beside_low():
    high = results({"teacher": [0.80, 0.82]}, case="high")
    low = results({"teacher": [0.70, 0.74]}, case="low")
    lines = high_low.tables(pd.concat([high, low]))
    assert line(lines, "Cora")[2:] == ["**81.0 ± 1.0**", "72.0 ± 2.0", "+9.0"]
    assert line(lines, "High influence − Low influence")[1] == "+9.00"
