"""A share of the labels."""

import pandas as pd

from infgrand_dgl.studies.catalog import label_scarce
from tests.studies.made_up import cells, line, results
from tests.studies.small import cells as small_cells


def test_shares():
    rates = [c.config.data.label_rate for c in small_cells("label-scarce", seeds=[1])]
    assert rates == [0.1, 0.2, 0.4]


def test_label_scarce_by_share():
    rows = [
        results({"glnn": [0.7], "infgrand": [0.7 + g]}, case=c)
        for c, g in (("20 %", 0.02), ("10 %", 0.04))
    ]
    lines = label_scarce.tables(pd.concat(rows))
    assert cells(lines[2])[2] == "Labels"
    assert [cells(text)[2] for text in lines[4:6]] == ["10 %", "20 %"]
    assert line(lines, "InfGraND − GLNN |")[1] == "+3.00"
    assert line(lines, "InfGraND − GLNN, 10 % of the labels")[1] == "+4.00"
