"""Every method beside its teacher, in the tables."""

from infgrand_dgl import registry
from infgrand_dgl.registry import Method
from infgrand_dgl.studies.catalog import table1
from tests.studies.made_up import cells, line, results
from tests.studies.small import cells as small_cells


def test_students_are_every_method():
    (table,) = small_cells(seeds=[1])
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


def test_a_method_of_a_plugin_is_shown(monkeypatch):
    toy = Method("toy", label="A toy", color="red", marker="*", objective=print)
    monkeypatch.setitem(registry.methods.added, "toy", toy)
    assert "toy" not in small_cells(seeds=[1])[0].students  # of the paper is what is asked for
    (cell,) = small_cells(seeds=[1], methods=["toy", "mlp", "glnn", "infgrand"])
    assert list(cell.students) == ["mlp", "glnn", "infgrand", "toy"]
    rows = results(
        {"teacher": [0.7], "toy": [0.8], "infgrand": [0.81], "glnn": [0.79], "mlp": [0.6]}
    )
    lines = table1.tables(rows)
    assert cells(lines[2])[2:] == ["Teacher", "MLP", "GLNN", "InfGraND", "A toy"]
    assert line(lines, "InfGraND − A toy")[1] == "+1.00"
    (legend,) = table1.figures(rows)[""].legends
    assert [text.get_text() for text in legend.get_texts()][-1] == "A toy"
