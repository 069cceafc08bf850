"""Depths, widths and their times."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from infgrand_dgl.studies import latency
from infgrand_dgl.studies.catalog import tradeoff
from tests.studies.made_up import line, results
from tests.studies.small import cells, run
from tests.studies.small import results as read_results


def test_depths():
    layers = [c.config.teacher.layers for c in cells("tradeoff", seeds=[1])]
    assert layers == [1, 2, 3, 4]


def test_latency_is_measured(tmp_path):
    deep = cells("tradeoff", seeds=[1])[1]  # as deep as the published one, so with students
    few = {name: deep.students[name] for name in ("glnn, width 64", "infgrand, published width")}
    run("tradeoff", [replace(deep, students=few)], tmp_path / "out")
    rows = read_results(tmp_path / "out")
    assert (rows["ms_per_request"] > 0).all()
    assert list(rows["case"]) == ["2 layers", "width 64", "published width"]


def test_students_are_timed_as_they_are_served(monkeypatch):
    """With what they multiply their inputs by, on inputs as wide as their own."""
    deep, timed = cells("tradeoff", seeds=[1])[1], []
    masked = deep.config.replace("random_propagation", mask=0.25)
    placed = deep.config.replace(method="nosmog").replace("nosmog", dimension=3)
    hops = deep.config.replace("student", model="sign").replace("propagation", hops=3)
    students = {"infgrand, a": masked, "glnn, a": masked.replace(method="glnn")}
    students |= {"nosmog, a": placed, "infgrand, b": hops}

    def median(call, *_):
        timed.append(call)
        return 1.0

    monkeypatch.setattr(latency, "_median", median)
    times = latency.latencies(replace(deep, students=students))
    found = [call.args for call in timed if isinstance(call, partial)][-len(students) :]
    D = found[1][1].shape[1]
    assert [student.kept for student, _ in found] == [0.75, 1, 1, 1]
    assert [inputs.shape[1] for _, inputs in found] == [D, D, D + 3, 4 * D]
    assert set(times) == {("teacher", deep.case), *(tuple(name.split(", ")) for name in students)}


def test_tradeoff_compares_with_the_best_on_validation():
    rows = pd.concat(
        [
            results({"teacher": [0.80]}, case="2 layers", ms=0.4),
            results({"teacher": [0.84]}, case="2 layers", ms=1.0, teacher="gat"),
            results({"infgrand": [0.82]}, ms=0.1, case="width 256"),
            results({"infgrand": [0.81]}, ms=0.05, case="width 64"),
            results({"": [np.nan]}, case="3 layers", status="failed"),
        ]
    )
    less = rows.assign(metric="rmse")
    assert line(tradeoff.tables(less), "Cora | GCN, 2 layers")[2:4] == ["0.8000", "−0.01000"]
    lines = tradeoff.tables(rows)
    assert line(lines, "Cora | GCN, 2 layers")[2:] == [
        "80.0",
        "+2.0 points",
        "0.4",
        "4 ×",
        "0.8",
        "4 ×",
    ]
    assert line(lines, "Cora | GAT, 2 layers")[2:] == [
        "84.0",
        "−2.0 points",
        "1",
        "10 ×",
        "2",
        "10 ×",
    ]
    assert line(lines, "Cora | InfGraND (GCN), width 256")[2:] == [
        "82.0",
        "–",
        "0.1",
        "–",
        "0.2",
        "–",
    ]
    assert line(lines, "Cora | GCN, 3 layers")[2:] == ["failed", *"–––––"]
