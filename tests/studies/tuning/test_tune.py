"""A search: what is trained, kept, gone on with and told; and that no test node has a part in it."""

import json
import multiprocessing
import os
import signal
import time
from dataclasses import asdict, replace
from itertools import count
from statistics import fmean
from threading import Thread

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from infgrand_dgl import InputError
from infgrand_dgl.cli import main
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import with_split
from infgrand_dgl.experiment.judging import of_inputs
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.propagation.inputs import student_inputs
from infgrand_dgl.serving import load_student
from infgrand_dgl.studies.tuning.search import suggest
from infgrand_dgl.studies.tuning.space import with_values
from infgrand_dgl.studies.tuning.trials import Bench, Trial
from infgrand_dgl.system.memory import Budget
from infgrand_dgl.system.runtime import Runtime
from tests.processes import Process
from tests.studies.tuning.small import SPACE, run, search, told
from tests.tasks import settings, write

FILES = {
    *("best.yaml", "trials.csv", "tune.json", "tune.md", "report.html"),
    *(f"tune-{name}.{kind}" for name in ("importance", "values") for kind in ("png", "svg")),
}


def test_four_trials(tiny, tmp_path):
    """What one and what two processes leave; the best trains as it did."""
    one, two = tmp_path / "one", tmp_path / "two"
    found = run(search(tiny), one, 4)
    assert found.counts == {"finished": 4, "pruned": 0, "failed": 0}
    assert [trial.number for trial in found.ended] == [0, 1, 2, 3]
    assert found.ended[0].values == {
        "student.lr": 0.01,
        "student.dropout": 0.5,
        "distillation.lambda": 0.1,
    }  # the experiment's own
    assert {path.name for path in one.iterdir()} == FILES
    both = run(search(tiny), two, 4, jobs=2)
    assert both.counts == found.counts and told(both)[0] == told(found)[0]
    assert {path.name for path in two.iterdir()} == FILES

    best = found.best
    assert best is not None and best.score == max(trial.score for trial in found.ended)
    table = pd.read_csv(one / "trials.csv")
    assert list(table["validation_accuracy"]) == [trial.score for trial in found.ended]
    assert (table["training_seconds"] < table["seconds"]).all()
    config = load_config(one / "best.yaml")
    assert config == with_values(load_config(tiny), best.values)
    assert main(["train", "--config", str(one / "best.yaml"), "--out", str(tmp_path / "run")]) == 0

    page = (one / "tune.md").read_text()
    assert f"Trial {best.number} is the best: validation accuracy" in page
    assert "The experiment as it was: validation accuracy" in page
    assert main(["report", str(one), "--out", str(tmp_path / "report.html"), "-q"]) == 0
    html = (tmp_path / "report.html").read_text()
    assert "Trials: 4 finished" in html and html == (one / "report.html").read_text()


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
def test_no_test_node_has_a_part(setting, tiny, tmp_path):
    """Neither in the choice nor in anything that is written: their labels have none, and nothing
    that is known of hidden ones."""
    config = load_config(tiny).replace("train", checkpoint_every=0)
    config = config.replace("data", setting=setting)
    bench = Bench(config, tmp_path / "work")
    before = bench.student(config, 1)
    assert set(before.metrics) == {"val", "test"}  # of the halves of the validation nodes
    source, real = bench.source, with_split(bench.source, config.data, 1).test
    labels, features = source.labels.clone(), source.features.clone()
    labels[source.parts.test] = (labels[source.parts.test] + 1) % source.num_classes
    if setting == "inductive":
        features[real] = 7.0
    other = Bench(config, tmp_path / "other", replace(source, labels=labels, features=features))
    assert other.student(config, 1).metrics == before.metrics

    files = [path for path in (tmp_path / "work").rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert names >= {"stages.json", "student.safetensors"} and "history.csv" not in names


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
def test_one_half_scores_what_the_other_has_chosen(setting, tiny, tmp_path):
    """Labels of the half that scores change its score, and no weight of the student."""
    config = load_config(tiny).replace("train", checkpoint_every=0)
    config = config.replace("data", setting=setting)
    bench = Bench(config, tmp_path / "work")
    before = bench.student(config, 1)
    d = bench.dataset(config, 1)
    held, chosen = d.labels[d.test], d.labels[d.val]
    logits = _outputs(config, tmp_path / "work", d)
    assert before.val == float((logits[d.val].argmax(1) == chosen).double().mean())
    assert before.scores["test"] == float((logits[d.test].argmax(1) == held).double().mean())

    whole = with_split(bench.source, config.data, 1)
    mine = torch.arange(whole.num_nodes)
    mine = mine if setting == "transductive" else mine[~torch.isin(mine, whole.test)]
    labels = bench.source.labels.clone()
    labels[mine[d.test]] = (held + 1) % bench.source.num_classes
    other = Bench(config, tmp_path / "other", replace(bench.source, labels=labels))
    after = other.student(config, 1)
    assert after.val == before.val and after.scores["test"] != before.scores["test"]
    weights = [load_file(tmp_path / f / "seed-1/student.safetensors") for f in ("work", "other")]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


def _outputs(config, folder, dataset):
    """The student's logits of all nodes, served as a run's are: each node by what it may see."""
    runtime = Runtime(torch.device("cpu"), Budget.of(config.resources))
    x = student_inputs(of_inputs(config), dataset, runtime)
    student = load_student(folder / "seed-1/student.safetensors")
    return student(x).detach()


def test_over_both_settings(tiny, tmp_path):
    """The mean of what each has alone."""
    both = run(search(tiny, across=("transductive", "inductive")), tmp_path / "both", 3)
    each = []
    for setting in ("transductive", "inductive"):
        config = with_values(both.search.config, both.ended[0].values)
        config = config.replace("train", checkpoint_every=0).replace("data", setting=setting)
        bench = Bench(config, tmp_path / setting)
        each.append([bench.student(config, seed).scores["test"] for seed in (1, 2)])
    assert both.ended[0].scores == [fmean(pair) for pair in zip(*each, strict=True)]
    assert "over 2 seeds and 2 settings" in (tmp_path / "both/best.yaml").read_text()
    assert "setting" not in (tmp_path / "both/best.yaml").read_text().split("extends")[1]


def test_given_logits_are_of_nodes_that_are_hidden(tiny, tmp_path):
    asked = search(tiny, overrides=["teacher.logits=logits.npy", "data.setting=inductive"])
    with pytest.raises(InputError, match=r"teacher\.logits: tune hides .* found .*logits\.npy"):
        run(asked, tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()


def test_resumed(tiny, tmp_path):
    """Only what is missing is added, and the end is that of a search left alone."""
    out = tmp_path / "out"
    first = run(search(tiny), out, 2)
    again = run(search(tiny), out, 5)
    assert [asdict(t) for t in again.ended[:2]] == [vars(t) for t in first.ended]
    before = (out / "tune.json").read_text()
    assert told(run(search(tiny), out, 3)) == told(again)  # there are more
    assert (out / "tune.json").read_text() == before
    assert told(run(search(tiny), tmp_path / "alone", 5)) == told(again)


@pytest.mark.parametrize(
    ("overrides", "text", "options", "message"),
    [
        (["student.hidden=9"], SPACE, {}, "student.hidden: 8, now 9"),
        ([], "student.lr: [0.1]", {}, "space: student.lr: .*, now .0.1."),
        ([], SPACE, {"seed": 3}, "--seed: 0, now 3"),
        ([], SPACE, {"prune": True}, "--prune: False, now True"),
    ],
)
def test_other_settings_need_another_folder(overrides, text, options, message, tiny, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    content = {"study": "tune", "title": "", "command": "", "metric": "accuracy", "seconds": 1}
    content |= {"settings": search(tiny).settings(), "ended": []}
    (out / "tune.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"holds trials with other settings .{message}.; choose"):
        run(search(tiny, text, overrides, **options), out, 1)


def test_folders_of_others_are_left_alone(tiny, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/letter.txt").touch()
    with pytest.raises(InputError, match="expected a new folder, or one of tune"):
        run(search(tiny), tmp_path / "out", 1)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["letter.txt"]
    with pytest.raises(InputError, match="expected a folder, found a file"):
        run(search(tiny), tmp_path / "out/letter.txt", 1)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/tune.json").write_text("{}")
    with pytest.raises(InputError, match=r"tune\.json: not written by tune"):
        run(search(tiny), tmp_path / "bad", 1)


def test_what_cannot_be_loaded_leaves_nothing(tiny, tmp_path):
    overrides = ["data.prepared=" + str(tmp_path / "nowhere")]
    with pytest.raises(InputError, match="nowhere"):
        run(search(tiny, overrides=overrides), tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()


def test_failed_trials_stop_no_other(tiny, tmp_path, capsys):
    """One diverges, one asks for what does not go together; both are told."""
    text = "student.lr: [1.0e+38, 0.01]\nteacher.heads: [4, 8]\nteacher.hidden: [8, 12]\n"
    found = run(
        search(tiny, text, ["teacher.model=gat"]), tmp_path / "out", 8, jobs=2, report=Reporter()
    )
    assert found.counts["failed"] + found.counts["finished"] == 8
    errors = {trial.reason for trial in found.ended if trial.state == "failed"}
    assert any("training diverged" in error for error in errors)
    assert any("12 is not divisible by heads: 8" in error for error in errors)
    assert "failed space: teacher: hidden: 12" in capsys.readouterr().out
    page = (tmp_path / "out/tune.md").read_text()
    assert "## Failed" in page and all(error in page for error in errors)
    assert found.best is not None and found.best.values["student.lr"] == 0.01


def test_a_killed_process_is_a_failed_trial(tiny, tmp_path):
    """Another takes its place."""
    epochs = ["student.epochs=1000000", "train.patience=1000000"]
    asked = search(tiny, "student.epochs: [1000000, 1]\n", epochs)

    def suggested(seed):
        failed = Trial(0, {"student.epochs": 1000000}, "failed")
        return suggest(asked.space, [failed], 1, seed, 1)["student.epochs"]

    asked = replace(asked, seed=next(seed for seed in count() if suggested(seed) == 1))

    def kill():
        taught = tmp_path / "out/work/0/transductive/seed-1/teacher.safetensors"
        while not taught.exists():
            time.sleep(0.01)
        os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)

    thread = Thread(target=kill)
    thread.start()
    found = run(asked, tmp_path / "out", 2)
    thread.join()
    assert [trial.state for trial in found.ended] == ["failed", "finished"]
    assert found.ended[0].error == "the process ended with exit code -9"


def test_poor_trials_end_early(tiny, tmp_path):
    text = "student.lr: [0.05, 1.0e-7]\nstudent.dropout: {low: 0.0, high: 0.5}\n"
    found = run(search(tiny, text, ["student.lr=0.05"], prune=True), tmp_path / "out", 14)
    pruned = [trial for trial in found.ended if trial.state == "pruned"]
    assert pruned and all(len(trial.scores) == 1 for trial in pruned)
    assert all(len(t.scores) == 2 for t in found.ended if t.state == "finished")
    assert found.counts["finished"] >= 5 and found.best not in pruned


def test_regression_by_the_shipped_space(tiny, tmp_path, capsys):
    numbers = [*settings(write(tmp_path / "graph", "regression")), "train.seeds=[0]"]
    numbers += ["data.nodes=null", "data.features=null", "data.classes=null"]
    options = ["--trials", "3", "--out", str(tmp_path / "out")]
    assert main(["tune", "--config", str(tiny), "--set", *numbers, *options]) == 0
    out = capsys.readouterr().out
    assert "of regression does not read them: distillation.tau, consistency.weight" in out
    assert "3 finished, 0 pruned, 0 failed" in out


def test_of_errors_the_least_is_best(tiny, tmp_path):
    numbers = [*settings(write(tmp_path / "graph", "regression")), "train.metric=rmse"]
    numbers += ["data.nodes=null", "data.features=null", "data.classes=null"]
    asked = search(tiny, "student.lr: [0.01, 1.0e-5]\n", [*numbers, "distillation.tau=1.0"])
    found = run(asked, tmp_path / "out", 4)
    assert found.best is not None and found.metric.name == "rmse"
    assert found.best.values == {"student.lr": 0.01}
    assert found.best.score == min(trial.score for trial in found.ended)
    assert "validation RMSE" in (tmp_path / "out/best.yaml").read_text()


def test_interrupted(tiny, tmp_path):
    """By SIGTERM half-way: what has ended is kept, and the same command goes on."""
    (tmp_path / "space.yaml").write_text(SPACE)
    out = tmp_path / "out"
    arguments = ["tune", "--config", str(tiny), "--space", str(tmp_path / "space.yaml")]
    arguments += ["--trials", "40", "--out", str(out)]
    process = Process("-m", "infgrand_dgl", *arguments)
    while not (out / "tune.json").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    done = process.finished()
    assert done.returncode == 143 and "Traceback" not in done.stderr
    assert "trials that have ended are kept; to go on: the same command" in done.stderr
    kept = json.loads((out / "tune.json").read_text())["ended"]
    assert 1 <= len(kept) < 40
    asked = search(tiny)
    found = run(asked, out, len(kept) + 1)
    assert told(found)[:-1] == [
        tuple(t[k] for k in ("number", "values", "state", "scores")) for t in kept
    ]


def test_ctrl_c(tiny, tmp_path):
    class Interrupting(Reporter):
        def line(self, text):
            if text.startswith("trial 1"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as error:
        run(search(tiny), tmp_path / "out", 4, jobs=2, report=Interrupting())
    assert error.value.__notes__ == ["trials that have ended are kept; to go on: the same command"]
    assert not multiprocessing.active_children()
    assert run(search(tiny), tmp_path / "out", 4).counts["finished"] == 4


def test_not_under_torchrun(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="expected one process, found those of torchrun"):
        run(search(tiny), tmp_path / "out", 1)
