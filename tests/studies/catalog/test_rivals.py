"""Methods on their own inputs and on propagated ones, beside a recipe."""

import numpy as np
import pandas as pd
import pytest

from infgrand_dgl import registry
from infgrand_dgl.registry import Method, methods, studies
from infgrand_dgl.studies import published
from infgrand_dgl.studies.catalog import rivals
from tests.studies import small
from tests.studies.made_up import cells, line, made_up, results

THREE = ["mlp", "glnn", "infgrand"]


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder of experiments in the place of the shipped one."""
    monkeypatch.setattr(published, "EXPERIMENTS", tmp_path)
    for folder in ("rivals", "best"):
        (tmp_path / folder).mkdir()
    return tmp_path


def test_every_method_on_two_inputs(shipped):
    (cell,) = small.cells("rivals", seeds=[1], methods=THREE)
    assert list(cell.students) == [
        "mlp",
        "mlp + propagation",
        "glnn",
        "glnn + propagation",
        "infgrand",
    ]
    read = {name: c.student.features for name, c in cell.students.items()}
    assert read["glnn"] == "auto" and read["glnn + propagation"] == "propagated"
    assert cell.students["infgrand"] == cell.config and cell.own == []


def test_all_that_are_registered(monkeypatch, shipped):
    toy = Method("toy", label="A toy", color="red", marker="*", objective=print)
    monkeypatch.setitem(registry.methods.added, "toy", toy)
    (cell,) = small.cells("rivals", seeds=[1])
    assert {*methods} <= {*cell.students} and "toy + propagation" in cell.students
    assert studies["rivals"].seeds == tuple(range(2022, 2032))


def test_settings_of_their_own(shipped):
    """Of the student everything, of graph and teacher nothing; what is set is set for all."""
    (shipped / "rivals/glnn_cora_gcn_transductive.yaml").write_text(
        "method: glnn\n"
        "data: {name: citeseer}\n"
        "teacher: {hidden: 99}\n"
        "student: {dropout: 0.625, hidden: 48, weight_decay: 0.01}\n"
        "distillation: {lambda: 0.25}\n"
        "propagation: {hops: 7}\n"
        "train: {patience: 99, seeds: [3]}\n"
    )
    (shipped / "best/cora.yaml").write_text(
        "data: {name: cora}\nstudent: {dropout: 0.125}\npropagation: {hops: 8}\n"
        "consistency: {weight: 0.5}\n"
    )
    (cell,) = small.cells("rivals", seeds=[1], methods=THREE)
    glnn, both = cell.students["glnn"], cell.students["glnn + propagation"]
    assert (glnn.student.dropout, glnn.distillation.lambda_, glnn.train.patience) == (
        0.625,
        0.25,
        99,
    )
    assert glnn.student.hidden == 8 and glnn.student.weight_decay == 0  # of --set
    assert both.student.dropout == 0.625 and both.propagation == cell.config.propagation
    assert list(cell.students)[-1] == rivals.RECIPE
    recipe = cell.students[rivals.RECIPE]
    assert recipe.propagation.hops == 8 and recipe.consistency.weight == 0.5
    assert cell.students["mlp"].student.dropout == cell.config.student.dropout
    for student in cell.students.values():
        assert (student.data, student.teacher) == (cell.config.data, cell.config.teacher)
        assert student.train.seeds == [1]
    assert cell.own == ["glnn", "glnn + propagation", rivals.RECIPE]


def test_what_is_shipped_for_a_dataset(shipped):
    """A method's settings for all its teachers; a student that is no method's, beside them all."""
    for name in ("glnn_cora", "s2gc_cora", "s2gc_citeseer"):
        text = "method: mlp\ndata: {name: cora}\nstudent: {dropout: 0.375}\n"
        (shipped / f"rivals/{name}.yaml").write_text(text)
    (few,) = small.cells("rivals", seeds=[1], methods=["glnn"])
    assert few.students["glnn"].student.dropout == 0.375 and "S2GC" not in few.students
    (cell,) = small.cells("rivals", seeds=[1], teachers=["sage"], settings=["inductive"])
    assert cell.students["S2GC"].student.dropout == 0.375 and cell.students["S2GC"].method == "mlp"
    assert cell.own == ["glnn", "glnn + propagation", "S2GC"]
    (bare,) = small.cells("rivals", datasets=["pubmed"], seeds=[1])
    assert "S2GC" not in bare.students and bare.own == []


def test_one_teacher_serves_them_all(shipped, tmp_path):
    """Numbers, whose settings they are with, and the page of a study that ran."""
    (shipped / "rivals/glnn_cora_gcn_transductive.yaml").write_text(
        "method: glnn\ndata: {name: cora}\nstudent: {dropout: 0.1}\n"
    )
    for name in ("cora", "citeseer"):
        file = shipped / f"best/{name}.yaml"
        file.write_text(f"data: {{name: {name}}}\npropagation: {{hops: 4}}\n")
    asked = small.cells("rivals", seeds=[1], methods=THREE)
    asked += small.cells("rivals", datasets=["citeseer"], seeds=[1], methods=THREE)
    out = tmp_path / "out"
    assert small.run("rivals", asked, out)["finished"] == 2
    rows = small.results(out)
    cora = rows[rows["dataset"] == "cora"].set_index("model")
    assert list(cora.index) == ["teacher", *asked[0].students]
    whose = {"glnn", "glnn + propagation", rivals.RECIPE}
    assert {*cora.index[cora["settings"] == "own"]} == whose
    page = (out / "rivals.md").read_text()
    assert (
        "Settings of their own: GLNN on Cora (GCN); Recipe on Cora (GCN), Citeseer (GCN). Else"
        in page
    )
    assert "| Recipe − GLNN |" in page and (out / "rivals-ranks.svg").is_file()


def made(inductive=False):
    """One line of two seeds; the recipe is 3 above GLNN, which lost its second seed."""
    tests = {
        "teacher": [0.80, 0.80],
        "glnn": [0.81, 0.51],
        "glnn + propagation": [0.82, 0.82],
        "infgrand": [0.83, 0.83],
        "Recipe": [0.84, 0.84],
    }
    rows = results(tests, setting="inductive" if inductive else "transductive")
    return rows.assign(test_observed=rows["test"] + 0.02, test_cold=rows["test"] - 0.2)


def test_two_versions():
    lines = rivals.tables(made())
    own = lines.index("### Each on its own inputs")
    propagated = lines.index("### Each on propagated features")
    assert cells(lines[own + 2])[2:] == ["Teacher", "GLNN", "InfGraND", "Recipe"]
    assert cells(lines[propagated + 2])[2:] == ["Teacher", "GLNN", "InfGraND", "Recipe"]
    assert line(lines[own:], "Cora")[2:4] == ["80.0 ± 0.0", "66.0 ± 15.0 †1"]
    assert line(lines[propagated:], "Cora")[3:] == ["82.0 ± 0.0", "83.0 ± 0.0", "**84.0 ± 0.0**"]


def test_compared_with_the_recipe_or_infgrand():
    """A collapsed seed is in one mean and not in the other."""
    lines = rivals.tables(made())
    assert line(lines, "Recipe − GLNN |")[1] == "+18.00"
    assert line(lines, "Recipe − GLNN, without collapsed seeds")[1:4] == ["+3.00", "–", "1"]
    without = made()
    lines = rivals.tables(without[without["model"] != "Recipe"])
    assert line(lines, "InfGraND − GLNN |")[1] == "+17.00"
    few = rivals.tables(without[~without["model"].isin(["Recipe", "infgrand"])])
    assert line(few, "GLNN − Teacher |")[1] == "−14.00"
    below = lines[lines.index("## Collapsed seeds") :]
    assert line(below, "Transductive")[3:] == ["GLNN", "2", "0", "51.0", "66.0", "81.0"]


def test_four_kinds_of_test_nodes():
    rows = made(inductive=True)
    titles = [text for text in rivals.tables(rows) if text.startswith("## Inductive")]
    assert [title.split(": ")[1] for title in titles] == [
        "hidden test nodes",
        "observed test nodes",
        "hidden test nodes without edges",
    ]
    lines = rivals.tables(rows)
    assert line(lines[lines.index(titles[2]) :], "Cora")[-1] == "**64.0 ± 0.0**"
    lines = rivals.tables(rows.assign(test_cold=np.nan))
    assert titles[2] not in lines and titles[1] in lines


def test_diagrams_of_every_ranking():
    rows = made_up("rivals", datasets=["cora", "citeseer"], settings=["transductive", "inductive"])
    figures = rivals.figures(rows)
    titles = [axes.get_title().split("\n") for axes in figures["-ranks"].axes]
    assert len(titles) == 8 and titles[0] == ["Transductive", "each on its own inputs"]
    assert titles[-1] == [
        "Inductive: hidden test nodes without edges",
        "each on propagated features",
    ]
    texts = [text.get_text() for text in figures["-ranks"].axes[0].texts]
    assert any(text.startswith("CD ") for text in texts) and any("GLNN" in t for t in texts)
    one = rivals.figures(results({"teacher": [0.8], "glnn": [0.7]}))
    assert list(one) == [""]


def test_a_line_from_own_to_propagated_inputs():
    (axes,) = rivals.figures(made())[""].axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["GLNN", "InfGraND", "Recipe"]
    lines = [np.asarray(line.get_xdata(), dtype=float).round(3) for line in axes.lines]
    drawn = {tuple(ends.tolist()) for ends in lines if len(ends) == 2}
    assert (66.0, 82.0) in drawn and (80.0, 80.0) in drawn  # and the teacher's line


def test_a_failed_cell_is_in_every_table():
    gone = results({"": [np.nan]}, dataset="pubmed", status="failed")
    lines = rivals.tables(pd.concat([made(), gone]))
    assert [set(cells(text)[2:]) for text in lines if text.startswith("| Pubmed")] == [
        {"failed"}
    ] * 2
