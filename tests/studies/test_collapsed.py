"""Students that have not learnt from their teacher are seen."""

import pandas as pd

from infgrand_dgl.studies.collapsed import collapsed, collapsed_table, marks
from tests.studies.made_up import line, results


def rows():
    """Seeds 1 to 3; GLNN is 20 points below its teacher once, InfGraND was trained again once."""
    tests = {
        "teacher": [0.80, 0.82, 0.80],
        "mlp": [0.60, 0.60, 0.60],
        "glnn": [0.60, 0.78, 0.76],
        "infgrand": [0.81, 0.75001 + 0.02, 0.83],
        "glnn + propagation": [0.8, 0.8, 0.8],
        "S2GC": [0.5, 0.5, 0.5],
        "Recipe": [0.82, 0.82, 0.82],
    }
    found = results(tests)
    again = (found["model"] == "infgrand") & (found["seed"] == 3)
    return found.assign(retrained=again.where(found["model"] != "S2GC"))


def test_who_has_collapsed():
    """By the validation score of the same seed's teacher; of labels alone an MLP learns less."""
    found = collapsed(rows())
    assert [*zip(found["model"], found["seed"], strict=True)] == [("glnn", 1), ("infgrand", 3)]
    assert dict(marks(rows())) == {
        ("cora", "gcn", "glnn"): " †1",
        ("cora", "gcn", "infgrand"): " †1",
    }
    assert collapsed(rows().assign(metric="rmse")).empty  # numbers are no soft labels
    assert len(collapsed(rows().drop(columns="retrained"))) == 1


def test_another_cells_teacher_does_not_count():
    good = results({"teacher": [0.9], "glnn": [0.89]})
    weak = results({"teacher": [0.6], "glnn": [0.59]}, teacher="gat")
    assert collapsed(pd.concat([good, weak])).empty


def test_a_failed_cell_has_none():
    failed = results({"": [None]}, status="failed")
    assert collapsed(failed).empty
    assert collapsed_table(failed, {}) == ["No student collapsed."]


def test_each_is_told_beside_the_mean():
    lines = collapsed_table(rows(), {})
    assert line(lines, "Transductive | Cora | GCN | GLNN")[4:] == ["1", "0", "60.0", "71.3", "77.0"]
    assert line(lines, "Transductive | Cora | GCN | InfGraND")[4:6] == ["3", "1"]
    order = [*reversed(lines)][:2]  # as they were trained
    assert [text.split(" | ")[3] for text in order] == ["InfGraND", "GLNN"]
    some = {"teacher": [0.9], "krd": [0.5], "krd + propagation": [0.5], "infgrand": [0.5]}
    names = [text.split(" | ")[3] for text in collapsed_table(results(some), {})[2:]]
    assert names == ["KRD", "krd + propagation", "InfGraND"]
    one = results({"teacher": [0.9], "glnn": [0.5]})
    assert line(collapsed_table(one, {}), "Transductive")[4:] == ["1", "0", "50.0", "50.0", "–"]
    named = one.replace({"model": {"glnn": "glnn + propagation"}})
    labels = {"glnn + propagation": "GLNN + propagation"}
    assert line(collapsed_table(named, labels), "Transductive")[3] == "GLNN + propagation"
