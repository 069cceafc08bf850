"""What is shipped for a cell, and what stands in for a graph that is not at hand."""

import re

import pytest

from infgrand_dgl import InputError
from infgrand_dgl.registry import methods, studies
from infgrand_dgl.studies import published
from infgrand_dgl.studies.catalog import table1
from infgrand_dgl.studies.grid import cells_of, teachers
from infgrand_dgl.studies.published import (
    DATASETS,
    EXPERIMENTS,
    LARGE,
    SETTINGS,
    Published,
    every,
    on_propagated,
    taught_by,
)
from tests.studies.made_up import results

ARXIV = ("ogbn-arxiv", "gat", "inductive")


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A folder of downloads that holds nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "infgrand-dgl"


def test_a_twin_stands_in_and_says_so(nowhere):
    cell = Published(*ARXIV)
    assert cell.shown == "arxiv-synthetic"
    config = cell.config
    assert (config.data.name, config.data.style) == ("synthetic", "arxiv")
    assert (config.teacher.model, config.data.setting) == ("gat", "inductive")
    small = Published(*ARXIV, ("data.nodes=500",)).config
    assert small.data.nodes == 500
    rows = results({"teacher": [0.7], "infgrand": [0.71]}, dataset="arxiv-synthetic")
    page = table1.tables(rows)
    assert page[0].startswith("arxiv-synthetic: a generated graph stands in for ogbn-arxiv")
    assert not table1.tables(rows.assign(dataset="cora"))[0].startswith("arxiv")


@pytest.mark.parametrize("name", ["ogbn_arxiv", "ogbn_arxiv_dgl"])
def test_the_real_one_where_it_is_at_hand(name, nowhere, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    for folder, overrides in ((nowhere, ()), (elsewhere, (f"data.root={elsewhere}",))):
        (folder / name / "raw").mkdir(parents=True)
        cell = Published(*ARXIV, overrides)
        assert cell.shown == "ogbn-arxiv" and cell.config.data.name == "ogbn-arxiv"
    assert Published(*ARXIV, ("data.prepared=here",)).shown == "ogbn-arxiv"


def test_a_users_graph_in_its_place(nowhere):
    cell = Published(*ARXIV, ("data.name=synthetic", "data.nodes=300"))
    assert cell.shown == "ogbn-arxiv" and cell.config.data.nodes == 300


def test_large_datasets_are_no_default(nowhere):
    """Seven datasets where they are asked for, with the seeds of the experiment."""
    assert not {*LARGE} & {*DATASETS} and studies["table1"].datasets is None
    found = cells_of(studies["table1"], [*LARGE], teachers(), SETTINGS, None, [])
    assert len(found) == 18 and {cell.seed for cell in found} == {0, 1, 2}
    assert found[0].name == "arxiv-synthetic_gcn_transductive_0"
    assert {cell.config.teacher.model for cell in found} == {*teachers()}
    assert [*found[0].students] == ["mlp", "glnn", "infgrand"]


def test_methods_in_order():
    assert every(["infgrand", "mlp", "mlp"]) == ("mlp", "infgrand")
    assert every(["all"]) == tuple(method.name for method in methods.in_order())


def test_a_bad_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "EXPERIMENTS", tmp_path)
    (tmp_path / "rivals").mkdir()
    file = tmp_path / "rivals/glnn_cora_gcn_transductive.yaml"
    file.write_text("data: {name: cora}\nstudent: {width: 3}\n")
    with pytest.raises(InputError, match="glnn_cora_gcn_transductive.yaml.*width"):
        Published("cora", "gcn", "transductive").own("glnn")
    assert Published("cora", "sage", "transductive").own("glnn") is None


def test_table1_takes_a_rivals_own_settings(tmp_path, monkeypatch):
    """Not the paper's methods, which are as alike as in the paper."""
    monkeypatch.setattr(published, "EXPERIMENTS", tmp_path)
    (tmp_path / "rivals").mkdir()
    from infgrand_dgl import registry

    toy = registry.Method("toy", label="A toy", objective=print)
    monkeypatch.setitem(registry.methods.added, "toy", toy)
    for method in ("toy", "glnn"):
        file = tmp_path / f"rivals/{method}_cora_gcn_transductive.yaml"
        file.write_text(f"method: {method}\ndata: {{name: cora}}\nstudent: {{dropout: 0.3125}}\n")
    for study, names in (("table1", ["toy"]), ("ablation", ["toy", "toy + propagation"])):
        cell, other = cells_of(
            studies[study], ["cora", "citeseer"], ["gcn"], ["transductive"], [1], [],
            methods=["all"],
        )  # fmt: skip
        assert cell.own == names and other.own == []
        assert [cell.students[name].student.dropout for name in names] == [0.3125] * len(names)
        assert cell.students["glnn"].student.dropout == cell.config.student.dropout


RECIPES = sorted((EXPERIMENTS / "best").glob("*.yaml"))


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
@pytest.mark.parametrize("setting", SETTINGS)
def test_every_recipe_is_a_student_of_each_cell(setting, file):
    """Of its dataset, under the cell's teacher and data, and with the command that found it."""
    assert file.stem in DATASETS
    for teacher in ("gcn", "sage", "gat"):
        published = Published(file.stem, teacher, setting)
        recipe = published.recipe()
        assert recipe is not None and recipe.data.name == file.stem and recipe.reads_propagated
        made = taught_by(published.config, recipe)
        assert (made.teacher, made.data) == (published.config.teacher, published.config.data)
        assert (made.student, made.consistency) == (recipe.student, recipe.consistency)
    lines = file.read_text().splitlines()
    found = re.fullmatch(
        r"# .*: trial \d+, the best of (\d+): validation accuracy .* %.*", lines[0]
    )
    assert found is not None
    command = " ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))
    base = rf"infgrand-dgl tune --config {file.stem}_gcn_\w+ --trials {found[1]} "
    assert re.search(base, command)


@pytest.mark.parametrize("method", ["glnn", "krd", "nosmog"])
def test_a_cell_propagated_inside_its_students(method):
    """Where they can have it; in their rivals' own settings as in the cell's."""
    published = Published("cora", "gcn", "transductive", ("propagation.of=products",))
    student = published.student(method, published.config)
    assert not student.in_products  # it reads raw features
    propagated = on_propagated(student, published.config)
    assert propagated.reads_propagated
    # GLNN trains by batches there, and NOSMOG has positions beside.
    assert propagated.in_products == (method == "krd")
    assert propagated.propagation.hops == published.config.propagation.hops
