"""Tables of a few numbers, cell by cell."""

import numpy as np
import pandas as pd
import pytest

from infgrand_dgl.studies import tables
from infgrand_dgl.studies.catalog import table1
from infgrand_dgl.studies.summary import Gain, differences
from tests.studies.made_up import cells, line, results


def test_best_of_a_line_is_bold_and_ties_are_all():
    tests = {"teacher": [0.8204, 0.8204], "glnn": [0.80, 0.82], "infgrand": [0.82, 0.8202]}
    other = results({"mlp": [0.6, 0.6]}, dataset="citeseer")
    lines = table1.tables(pd.concat([results(tests), other]))
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


def of(metric, tests, **where):
    """Rows whose scores are of another metric."""
    return results(tests, **where).assign(metric=metric)


def test_where_less_is_better_the_least_is_the_best():
    """No percentages; a star, and a cell that is ahead, where the difference is negative."""
    glnn = [12.5, 13.5, 14.5]
    one = of("rmse", {"glnn": glnn, "infgrand": [11.5, 12.52, 13.49], "mlp": [1e4, 2e4, 3e4]})
    other = of("rmse", {"glnn": glnn, "infgrand": [15.5, 16.5, 17.4]}, dataset="citeseer")
    lines = table1.tables(pd.concat([one, other]))
    assert line(lines, "Cora")[-3:] == [
        "2.000e+04 ± 8.2e+03",
        "13.50 ± 0.82",
        "**12.50 ± 0.81**\\*",
    ]
    assert line(lines, "Citeseer")[-2:] == ["**13.50 ± 0.82**", "16.47 ± 0.78"]
    gain = line(lines, "InfGraND − GLNN")
    assert line(lines, "Average difference")[1] == "RMSE"
    assert float(gain[1]) == pytest.approx((-1 - 0.98 - 1.01 + 3 + 3 + 2.9) / 6, abs=1e-4)
    assert gain[4] == "1 of 2"
    (note, *_) = tables.note(one)
    assert note.startswith("Test RMSE, mean ± population standard deviation over 3 seeds. The less")


def test_a_share_is_in_percent_and_another_number_is_not():
    tests = {"glnn": [0.5, 0.25], "infgrand": [0.75, -0.25]}
    assert line(table1.tables(of("roc_auc", tests)), "Cora")[-2] == "**37.5 ± 12.5**"
    lines = table1.tables(of("r2", tests))
    assert line(lines, "Cora")[-2:] == ["**0.3750 ± 0.1250**", "0.2500 ± 0.5000"]
    assert line(lines, "Average gain")[1] == "R²"
    assert line(lines, "InfGraND − GLNN")[1] == "−0.12500"
    assert "in percent" in tables.note(of("roc_auc", tests))[0]
    assert "percent" not in tables.note(of("r2", tests))[0]


@pytest.mark.parametrize("size", [1e-12, 1e9])
def test_numbers_of_any_size_are_compared(size):
    """What differs does, and what is equal but for its rounding does not."""
    base = size * np.array([0.1, 0.2, 0.3, 0.7])
    rows = of(
        "mae", {"glnn": base, "infgrand": base + 0.1 * size, "mlp": base + size / 3 - size / 3}
    )
    assert differences(rows, "infgrand", "glnn").to_numpy() == pytest.approx([0.1 * size] * 4)
    assert (differences(rows, "mlp", "glnn") == 0).all()
    assert np.isnan(Gain.of(differences(rows, "infgrand", "glnn")).t)


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
