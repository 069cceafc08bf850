"""What is trained and shown: tests/studies."""

import pytest

from infgrand_dgl.registry import methods
from infgrand_dgl.studies.published import DATASETS

from ..conftest import refused, run


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--datasets", "core"], "--datasets: expected cora, citeseer, pubmed"),
        (["--teachers", "gcm"], "--teachers: expected gcn, sage or gat, found 'gcm'"),
        (["--settings", "x"], "--settings: expected transductive or inductive, found 'x'"),
        (["--set", "train.epoch=1"], "unknown key"),
        (["--render-only"], "holds no study yet"),
        (["--methods", "glnn,kard"], "--methods: expected mlp, glnn"),
        (["--methods", "glnn,"], "found ''"),
    ],
)
def test_bad_arguments(options, message, tmp_path, capsys):
    command = ("study", "table1", *options, "--out", tmp_path / "out")
    assert message in refused(capsys, tmp_path, *command)


def test_methods_of_a_study_of_none(tmp_path, capsys):
    command = ("study", "measures", "--methods", "glnn", "--out", tmp_path / "out")
    message = "--methods: only for ablation, label-scarce, rivals, table1, tradeoff, not measures"
    assert message in refused(capsys, tmp_path, *command)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table2"], "invalid choice: 'table2'"),
        (["table1", "--jobs", "0"], "expected an integer from 1 to 1024, found '0'"),
        (["table1", "--seeds", "x"], "expected an integer from 0 to 2^32 - 1, found 'x'"),
    ],
)
def test_usage_errors(arguments, message, tmp_path, capsys):
    status, _, err = run(capsys, "study", *arguments, "--out", tmp_path / "out")
    assert status == 2 and message in err


@pytest.mark.parametrize(("failed", "status"), [(0, 0), (2, 1)])
def test_what_is_run(failed, status, tmp_path, capsys, monkeypatch):
    calls = []

    def study(name, cells, out, **options):
        calls.append((name, cells, options))
        return {"trained": 1, "kept": 3, "failed": failed}

    monkeypatch.setattr("infgrand_dgl.studies.runner.study", study)
    axes = ["--datasets", "cora", "cora", "--teachers", "sage", "--settings", "inductive"]
    options = [
        "--seeds",
        "7",
        "8",
        "7",
        "--device",
        "cpu",
        "--set",
        "train.epochs=2",
        "--jobs",
        "3",
    ]
    out = tmp_path / "out"
    found, output, err = run(capsys, "study", "table1", *axes, *options, "--out", out)
    assert found == status
    assert output == f"1 trained, 3 kept, {failed} failed\nstudy: {out}; read {out}/table1.md\n"
    assert (f"2 cells failed: see {out}/cells/*.error.txt" in err) == bool(failed)
    ((name, cells, given),) = calls
    assert name == "table1" and given["jobs"] == 3 and not given["render_only"]
    assert given["overrides"] == ["train.epochs=2", "train.device=cpu"]
    assert given["command"].startswith("infgrand-dgl study table1 --datasets cora cora ")
    assert [(c.dataset, c.teacher, c.setting, c.seed) for c in cells] == [
        ("cora", "sage", "inductive", 7),
        ("cora", "sage", "inductive", 8),
    ]
    assert all(c.config.train.epochs == 2 and c.config.train.device == "cpu" for c in cells)


@pytest.fixture
def calls(monkeypatch):
    made = []

    def study(name, cells, out, **options):
        made.append((cells, options))
        return {"finished": len(cells), "failed": 0}

    monkeypatch.setattr("infgrand_dgl.studies.runner.study", study)
    return made


@pytest.mark.parametrize(
    ("study", "given", "students", "held"),
    [
        ("table1", [], ["mlp", "glnn", "infgrand"], []),
        ("table1", ["--methods", "infgrand,mlp", "glnn"], ["mlp", "glnn", "infgrand"], []),
        ("table1", ["--methods", "glnn"], ["glnn"], ["methods=glnn"]),
        ("rivals", ["--methods", "infgrand"], ["infgrand"], ["methods=infgrand"]),
    ],
)
def test_methods_by_name(study, given, students, held, tmp_path, capsys, calls):
    """Others than the study's own are among what its folder holds."""
    axes = ["--datasets", "cora", "--teachers", "gcn", "--settings", "transductive"]
    command = ("study", study, *axes, "--seeds", "1", *given, "--out", tmp_path / "out")
    assert run(capsys, *command)[0] == 0
    (((cell,), options),) = calls
    assert [name for name in cell.students if name != "Recipe"] == students
    assert options["overrides"] == held


def test_all_methods(tmp_path, capsys, calls):
    axes = ["--datasets", "cora", "--teachers", "gcn", "--settings", "transductive"]
    for study, seeds in (("table1", 5), ("rivals", 10)):
        run(capsys, "study", study, *axes, "--methods", "all", "--out", tmp_path / "out")
        cells, options = calls.pop()
        assert len(cells) == seeds and {*methods} <= {*cells[0].students}
        assert (options["overrides"] == []) == (study == "rivals" or len(methods) == 3)


def test_large_graphs_where_they_are_asked_for(tmp_path, capsys, calls, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert run(capsys, "study", "table1", "--out", tmp_path / "out")[0] == 0
    assert {cell.dataset for cell in calls.pop()[0]} == {*DATASETS}
    asked = ("--datasets", "cora", "ogbn-arxiv", "--out", tmp_path / "out")
    assert run(capsys, "study", "table1", *asked)[0] == 0
    assert {cell.dataset for cell in calls.pop()[0]} == {"cora", "arxiv-synthetic"}
