"""Cells of a study: run once, kept, and independent of each other's failures."""

import json
import multiprocessing
import os
import signal
import time
from threading import Thread

import pandas as pd
import pytest

from infgrand_dgl import InputError
from infgrand_dgl.experiment import train as recipe
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.studies import runner
from infgrand_dgl.studies.published import SETTINGS
from infgrand_dgl.studies.runner import study
from tests.processes import Process
from tests.studies.small import QUIET, SMALL, cells, results, run


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


def test_another_metric_is_that_of_rows_and_page(tmp_path):
    asked = cells(seeds=[1], more=["train.metric=macro_f1"])
    run("table1", asked, tmp_path / "out")
    found = results(tmp_path / "out").set_index("model")
    metrics = json.loads((tmp_path / "out/cells" / asked[0].name / "metrics.json").read_text())
    for model in ("teacher", "glnn"):
        assert found["test"][model] == pytest.approx(metrics[model]["macro_f1"]["test"]["mean"])
        assert found["validation"][model] == metrics[model]["macro_f1"]["val"]["mean"]
    assert set(found["metric"]) == {"macro_f1"}
    page = (tmp_path / "out/table1.md").read_text()
    assert "Test macro-F1 in percent" in page and "Test accuracy" not in page


def started(out):
    return {p: p.stat().st_mtime_ns for p in sorted((out / "cells").glob("*/cell.json"))}


def test_interrupted_half_way(tmp_path):
    """The rerun repeats no finished cell, and ends as a run left alone."""
    out = tmp_path / "out"
    command = ["-m", "infgrand_dgl", "study", "table1", "--datasets", "cora"]
    command += ["--teachers", "gcn", "sage", "--settings", "transductive", "--seeds", "1", "2"]
    command += ["--out", str(out), "--set", *SMALL]
    process = Process(*command)
    while not started(out):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    done = process.finished()
    assert done.returncode == 143
    assert "what is finished is kept; to go on: the same command" in done.stderr
    assert "Traceback" not in done.stderr
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


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"mark": 1}', "\0" * 50])
def test_a_damaged_cell_is_run_again(damage, tmp_path, caplog):
    out, asked = tmp_path / "out", cells(seeds=[1])
    run("table1", asked, out)
    (file,) = (out / "cells").glob("*/cell.json")
    whole = json.loads(file.read_text())
    file.write_text(damage)
    assert run("table1", [], out, render_only=True)["finished"] == 0
    assert f"{file}: unreadable" in caplog.text
    assert run("table1", asked, out) == {"finished": 1, "failed": 0, "not run": 0}
    assert json.loads(file.read_text())["mark"] == whole["mark"]


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


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="--out .*file/out: cannot be written .Not a directory"):
        run("table1", cells(seeds=[1]), tmp_path / "file/out")


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
