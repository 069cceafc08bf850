"""Cells of a study: run once, kept, and independent of each other's failures."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from threading import Thread

import pandas as pd
import pytest

from infgrand_dgl import InputError, studies
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import load_dataset
from infgrand_dgl.experiment import train as recipe
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.studies import runner
from infgrand_dgl.studies.grid import DATASETS, SENSITIVITY, SETTINGS, STUDIES, TEACHERS
from infgrand_dgl.studies.runner import study

QUIET = Reporter(quiet=True)
# A generated graph in the place of each of the paper's, models of a second.
SMALL = [
    "data.name=synthetic",
    "data.nodes=250",
    "data.features=40",
    "data.classes=3",
    "teacher.hidden=8",
    "student.hidden=8",
    "teacher.layers=2",
    "student.layers=2",
    "train.epochs=4",
    "train.device=cpu",
    "student.weight_decay=0",
]


def cells(
    name="table1", datasets=("cora",), teachers=("gcn",), settings=None, seeds=(1, 2), more=()
):
    plan = STUDIES[name]
    return plan.cells(datasets, teachers, settings or plan.settings[:1], seeds, [*SMALL, *more])


def run(name, asked, out, **options):
    return study(name, asked, out, command="infgrand-dgl study", report=QUIET, **options)


def results(out):
    return pd.read_csv(out / "results.csv", keep_default_na=False, na_values=[""])


@pytest.mark.parametrize("name", STUDIES)
def test_published_grid(name):
    """Every cell of every study is an experiment, and its name says which."""
    plan = STUDIES[name]
    found = plan.cells(DATASETS, plan.teachers, plan.settings, None, [])
    names = [cell.name for cell in found]
    assert len(set(names)) == len(names)
    for cell in found:
        assert cell.config.train.seeds == [cell.seed]
        assert (cell.config.data.name, cell.config.teacher.model) == (cell.dataset, cell.teacher)
        assert cell.config.data.setting == cell.setting
        for student in cell.students.values():
            assert (student.data, student.teacher) == (cell.config.data, cell.config.teacher)
            assert load_config_text(student) == student  # a YAML file could say it


def load_config_text(config):
    return type(config).model_validate(config.model_dump(by_alias=True))


def test_students_of_the_studies():
    (table,) = cells(seeds=[1])
    assert list(table.students) == ["mlp", "glnn", "infgrand"]
    assert table.students["infgrand"] == table.config
    high, low = cells("high-low", seeds=[1])
    assert [c.config.data.label_choice for c in (high, low)] == ["high", "low"]
    assert high.config.data.label_rate == 0.25 and not high.students
    rates = [c.config.data.label_rate for c in cells("label-scarce", seeds=[1])]
    assert rates == [0.1, 0.2, 0.4]
    (ablation,) = cells("ablation", seeds=[1])
    shape = {name: (c.method, c.student.features) for name, c in ablation.students.items()}
    assert shape["infgrand loss"] == ("infgrand", "raw")
    assert shape["mlp + propagation"] == ("mlp", "propagated")
    layers = [c.config.teacher.layers for c in cells("tradeoff", seeds=[1])]
    assert layers == [1, 2, 3, 4]
    (sensitivity,) = cells("sensitivity", seeds=[1])
    assert len(sensitivity.students) == sum(map(len, SENSITIVITY.values()))
    d = sensitivity.config.distillation
    varied = sensitivity.students["infgrand, gamma2/gamma1=2.0"].distillation
    assert varied.gamma2 == pytest.approx(2 * varied.gamma1)
    assert varied.gamma1 + varied.gamma2 == pytest.approx(d.gamma1 + d.gamma2)
    (measures,) = cells("measures", seeds=[1])
    assert {name: c.influence.measure for name, c in measures.students.items()} == {
        m: m for m in measures.students
    }


def test_rows_are_those_of_train(tmp_path):
    """A cell has the numbers of the experiment that it stands for."""
    asked = cells(seeds=[1], settings=SETTINGS)
    counts = run("table1", asked, tmp_path / "out", jobs=2)
    assert counts == {"finished": 2, "failed": 0, "not run": 0}
    found = results(tmp_path / "out")
    assert list(found["model"]) == 2 * ["teacher", "mlp", "glnn", "infgrand"]
    for cell in asked:
        config = cell.config.replace("train", baselines=["mlp", "glnn"])
        metrics = recipe.train(config, tmp_path / cell.name, report=QUIET)
        rows = found[found["setting"] == cell.setting].set_index("model")
        for model, key in (("teacher", "teacher"), ("glnn", "glnn"), ("infgrand", "student")):
            assert rows["test"][model] == pytest.approx(metrics[key]["test"]["mean"])
            assert rows["validation"][model] == pytest.approx(metrics[key]["val"]["mean"])
    marker = json.loads((tmp_path / "out/study.json").read_text())
    assert (marker["study"], marker["cells"]) == ("table1", counts)
    for suffix in ("md", "png", "svg"):
        assert (tmp_path / f"out/table1.{suffix}").stat().st_size > 0
    kept = {p.name for p in (tmp_path / "out/cells" / asked[0].name).rglob("*") if p.is_file()}
    assert kept == {"cell.json", "config.yaml", "metrics.json", "history.csv", "teacher_logits.npy"}


def started(out):
    return {p: p.stat().st_mtime_ns for p in sorted((out / "cells").glob("*/cell.json"))}


def test_interrupted_half_way(tmp_path):
    """The rerun repeats no finished cell, and ends as a run left alone."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "infgrand_dgl", "study", "table1", "--datasets", "cora"]
    command += ["--teachers", "gcn", "sage", "--settings", "transductive", "--seeds", "1", "2"]
    command += ["--out", str(out), "--set", *SMALL]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not started(out):
        assert process.poll() is None
        time.sleep(0.02)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "what is finished is kept; to go on: the same command" in errors
    assert "Traceback" not in errors
    first = started(out)
    assert 1 <= len(first) < 4
    assert json.loads((out / "study.json").read_text())["cells"]["not run"] == 4 - len(first)
    asked = cells(teachers=("gcn", "sage"))
    run("table1", asked, out, overrides=SMALL)
    again = started(out)
    assert len(again) == 4 and first.items() <= again.items()
    alone = tmp_path / "alone"
    run("table1", asked, alone, overrides=SMALL)
    accuracy = ["dataset", "teacher", "seed", "model", "validation", "test"]
    pd.testing.assert_frame_equal(results(out)[accuracy], results(alone)[accuracy])
    run("table1", asked, out, overrides=SMALL)
    assert started(out) == again


def test_a_failing_cell_stops_no_other(tmp_path, capsys):
    good = cells(seeds=[1, 2])
    missing = good[0].config.replace("data", prepared=str(tmp_path / "nowhere"))
    bad = type(good[0])("citeseer", "gcn", "transductive", 1, "", missing, {})
    out = tmp_path / "out"
    counts = study("table1", [bad, *good], out, command="infgrand-dgl study", report=Reporter())
    assert counts == {"finished": 2, "failed": 1, "not run": 0}
    assert "citeseer_gcn_transductive_1: failed" in capsys.readouterr().out
    assert "nowhere" in (out / "cells/citeseer_gcn_transductive_1.error.txt").read_text()
    found = results(out)
    assert found["status"].value_counts().to_dict() == {"finished": 8, "failed": 1}
    assert "failed" in (out / "table1.md").read_text()
    mended = type(bad)("citeseer", "gcn", "transductive", 1, "", good[0].config, {})
    assert run("table1", [mended, *good], out) == {"finished": 3, "failed": 0, "not run": 0}
    assert not list((out / "cells").glob("*.txt"))


def test_a_killed_cell_is_a_failed_one(tmp_path):
    def kill():
        while not (children := multiprocessing.active_children()):
            time.sleep(0.01)
        os.kill(children[0].pid or 0, signal.SIGKILL)

    thread = Thread(target=kill)
    thread.start()
    asked = cells(seeds=[1], more=["train.epochs=2000", "train.patience=2000"]) + cells(seeds=[2])
    counts = run("table1", asked, tmp_path / "out")
    thread.join()
    assert counts == {"finished": 1, "failed": 1, "not run": 0}
    (error,) = (tmp_path / "out/cells").glob("*.error.txt")
    assert error.read_text() == "the process ended with exit code -9\n"


def test_another_configuration_is_run_again(tmp_path):
    out, asked = tmp_path / "out", cells(seeds=[1])
    run("table1", asked, out)
    before = started(out)
    run("table1", cells(seeds=[1], more=["student.lr=0.02"]), out)
    assert started(out) != before


def test_a_folder_holds_one_study(tmp_path):
    out, asked = tmp_path / "out", cells(seeds=[1])
    run("table1", asked, out, overrides=["train.epochs=4", "data.root=here"])
    with pytest.raises(InputError, match=r"holds the study table1 train.epochs=4; choose another"):
        run("ablation", cells("ablation", seeds=[1]), out)
    with pytest.raises(InputError, match="holds the study table1 train.epochs=4"):
        run("table1", asked, out, overrides=["train.epochs=5"])
    run("table1", asked, out, overrides=["data.root=elsewhere", "train.epochs=4"])
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("")
    with pytest.raises(InputError, match="expected a new folder, or one of this study"):
        run("table1", asked, tmp_path / "full")


def test_render_only(tmp_path):
    """Nothing runs; what made the study stays on its page."""
    out = tmp_path / "out"
    with pytest.raises(InputError, match="holds no study yet"):
        run("table1", cells(seeds=[1]), out, render_only=True)
    assert not out.exists()
    run("table1", cells(seeds=[1]), out)
    kept, marker = started(out), json.loads((out / "study.json").read_text())
    (out / "table1.svg").unlink()
    every = cells(seeds=[1], teachers=("gcn", "sage"))
    counts = study("table1", every, out, command="later", render_only=True, report=QUIET)
    assert counts == {"finished": 1, "failed": 0, "not run": 1}
    assert started(out) == kept and (out / "table1.svg").exists()
    assert "GraphSAGE | not run |" in (out / "table1.md").read_text()
    again = json.loads((out / "study.json").read_text())
    assert again["command"] == marker["command"] == "infgrand-dgl study"
    study("table1", every, out, command="later", report=QUIET)
    last = json.loads((out / "study.json").read_text())
    assert last["command"] == "infgrand-dgl study\nlater"
    assert "```bash\ninfgrand-dgl study\nlater\n```" in (out / "table1.md").read_text()


def test_goes_on_after_a_kill(tmp_path, monkeypatch):
    """Nothing but the marker was written: the folder is the study's all the same."""
    out, asked = tmp_path / "out", cells(seeds=[1])

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(runner, "_run", killed)
        patched.setattr(runner, "_gather", killed)
        with pytest.raises(KeyboardInterrupt):
            run("table1", asked, out)
    run("table1", asked, out)
    assert len(started(out)) == 1


def test_correlations_of_the_measures(tmp_path):
    asked = cells("measures", seeds=[1])
    run("measures", asked, tmp_path / "out")
    found = pd.read_csv(tmp_path / "out/correlations.csv")
    table = found.pivot_table(index="measure", columns="with", values="spearman")
    assert (table.values.diagonal() == pytest.approx(1)) and "uniform" not in table
    dataset = load_dataset(asked[0].config, 1)
    degree = (dataset.csr.row_lengths - 1).double()
    centroid = dataset.dense_features() @ dataset.dense_features().mean(dim=0)
    centroid /= dataset.dense_features().norm(dim=1)
    both = pd.DataFrame({"degree": degree, "centroid": centroid.double()})
    expected = both.corr(method="spearman")["degree"]["centroid"]
    assert table["degree"]["centroid cosine"] == pytest.approx(expected, abs=1e-3)


def test_latency_is_measured(tmp_path):
    deep = cells("tradeoff", seeds=[1])[1]  # as deep as the published one, so with students
    few = {name: deep.students[name] for name in ("glnn, width 64", "infgrand, published width")}
    run("tradeoff", [replace(deep, students=few)], tmp_path / "out")
    found = results(tmp_path / "out")
    assert (found["ms_per_request"] > 0).all()
    assert list(found["case"]) == ["2 layers", "width 64", "published width"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table2"], "invalid choice: 'table2'"),
        (["table1", "--datasets", "core"], "--datasets: expected cora, citeseer, pubmed"),
        (["table1", "--jobs", "0"], "expected an integer from 1 to 1024, found '0'"),
        (["table1", "--set", "train.epoch=1"], "unknown key"),
    ],
)
def test_bad_arguments(arguments, message, tmp_path, capsys):
    from infgrand_dgl.cli import main

    with pytest.raises(SystemExit) if "choice" in message or "1024" in message else nothing():
        assert main(["study", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def nothing():
    from contextlib import nullcontext

    return nullcontext()


def test_defaults_are_published():
    assert tuple(STUDIES) == studies.NAMES
    assert set(DATASETS) == {
        "cora",
        "citeseer",
        "pubmed",
        "amazon-photo",
        "coauthor-cs",
        "coauthor-physics",
    }
    for dataset in DATASETS:
        for teacher in TEACHERS:
            for setting in SETTINGS:
                assert load_config(f"{dataset}_{teacher}_{setting}").data.setting == setting
