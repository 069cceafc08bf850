"""Tables of a few numbers, cell by cell."""

import numpy as np
import pandas as pd

from infgrand_dgl.studies import tables
from infgrand_dgl.studies.catalog import table1
from tests.studies.made_up import cells, line, results


def test_best_of_a_line_is_bold_and_ties_are_all():
    rows = results({"teacher": [0.8204, 0.8204], "glnn": [0.80, 0.82], "infgrand": [0.82, 0.8202]})
    lines = table1.tables(rows)
    assert lines[0] == "## Transductive"
    assert cells(lines[2]) == ["Dataset", "GNN", "Teacher", "MLP", "GLNN", "InfGraND"]
    assert cells(lines[4])[2:] == ["**82.0 ± 0.0**", "–", "81.0 ± 1.0", "**82.0 ± 0.0**"]


def test_gains_over_the_cells():
    one = results({"glnn": [0.80, 0.80], "infgrand": [0.81, 0.83]})
    other = results({"glnn": [0.80, 0.80], "infgrand": [0.79, 0.79]}, dataset="citeseer")
    gain = line(table1.tables(pd.concat([one, other])), "InfGraND − GLNN")
    # 1, 3, −1, −1: mean 0.5, deviation √(11 / 3), t = 0.522 with three degrees of freedom.
    assert gain[1:] == ["+0.50", "−2.55 to +3.55", "4", "1 of 2", "0.638", "1.000"]


def test_missing_cells_say_why():
    rows = pd.concat(
        [
            results({"glnn": [0.80, 0.81], "infgrand": [0.83]}),
            results({"": [np.nan, np.nan]}, dataset="citeseer", status="failed"),
            results({"": [np.nan, np.nan]}, dataset="pubmed", status="not run"),
        ]
    )
    lines = table1.tables(rows)
    assert line(lines, "Cora")[-2:] == ["80.5 ± 0.5", "**83.0 (1 seed)**"]
    assert set(line(lines, "Citeseer")[2:]) == {"failed"}
    assert set(line(lines, "Pubmed")[2:]) == {"not run"}
    note = "\n".join(tables.note(rows))
    assert "over 2 seeds; a cell with fewer says so" in note
    assert "Missing: 2 failed, 2 not run." in note


def test_one_seed_has_no_deviation():
    rows = results({"glnn": [0.80], "infgrand": [0.83]})
    assert "one seed" in tables.note(rows)[0]
    assert line(table1.tables(rows), "Cora")[-2:] == ["80.0", "**83.0**"]
    assert line(table1.tables(rows), "InfGraND − GLNN")[1:] == [
        "+3.00",
        "–",
        "1",
        "1 of 1",
        "–",
        "–",
    ]
