"""Every method beside its teacher, in the tables."""

from infgrand_dgl.studies.catalog import table1
from tests.studies.made_up import line, results
from tests.studies.small import cells


def test_students_are_every_method():
    (table,) = cells(seeds=[1])
    assert list(table.students) == ["mlp", "glnn", "infgrand"]
    assert table.students["infgrand"] == table.config


def test_star_needs_three_seeds_and_significance():
    glnn = [0.80, 0.81, 0.82]
    clear = results({"glnn": glnn, "infgrand": [0.82, 0.8301, 0.8399]})
    noisy = results({"glnn": glnn, "infgrand": [0.85, 0.78, 0.84]})
    worse = results({"glnn": [0.82, 0.8301, 0.8399], "infgrand": glnn})
    for rows, marked in (
        (clear, True),
        (clear[clear["seed"] < 3], False),
        (noisy, False),
        (worse, False),
    ):
        assert line(table1.tables(rows), "Cora")[-1].endswith("\\*") is marked


def test_inductive_has_hidden_and_observed_nodes():
    rows = results({"glnn": [0.80], "infgrand": [0.83]}, setting="inductive")
    lines = table1.tables(rows.assign(test_observed=rows["test"] + 0.02))
    hidden, observed = (i for i, text in enumerate(lines) if text.startswith("## "))
    assert (lines[hidden], lines[observed]) == (
        "## Inductive: hidden test nodes",
        "## Inductive: observed test nodes",
    )
    assert line(lines[hidden:], "Cora")[-1] == "**83.0**"
    assert line(lines[observed:], "Cora")[-1] == "**85.0**"
