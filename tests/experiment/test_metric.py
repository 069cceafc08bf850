"""`train.metric`: it chooses the epoch, and is what a run shows."""

import json

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.cli import main
from infgrand_dgl.cli.accuracy_table import accuracy_table
from infgrand_dgl.data import load_dataset
from infgrand_dgl.experiment.directory import RunDirectory
from infgrand_dgl.experiment.history import read_history
from infgrand_dgl.experiment.train import train
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.report.page import write
from infgrand_dgl.serving import load_student
from infgrand_dgl.training.metrics import METRICS

QUIET = Reporter(quiet=True)
TWO = {"balanced_accuracy": {}, "roc_auc": {"batch_size": 40}}


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
@pytest.mark.parametrize("name", TWO)
def test_it_chooses_and_is_shown(name, setting, tiny_config, tmp_path):
    """Of whole graphs and of sampled neighbourhoods; the weights that are kept are those of the
    best epoch by the metric, and every number is what the stored models are worth."""
    config = (
        tiny_config.replace("train", metric=name, baselines=["mlp"], epochs=12)
        .replace("data", setting=setting)
        .replace("teacher", **TWO[name])
    )
    out, metric = tmp_path / "run", METRICS[name]
    metrics = train(config, out, report=QUIET)
    history, run = read_history(out / "history.csv"), RunDirectory(out)
    assert metrics["metric"] == name
    for k, seed in enumerate(config.train.seeds):
        dataset, ids = load_dataset(config, seed), {}
        ids["val"], ids["test"] = dataset.val, dataset.test
        logits = {
            "teacher": torch.from_numpy(np.load(run.teacher_logits(seed))),
            "student": load_student(run.weights(seed, "student"))(
                torch.from_numpy(np.array(run.propagated(seed)))
            ),
            "mlp": load_student(run.weights(seed, "mlp"))(dataset.dense_features()),
        }
        for model, found in logits.items():
            for part, nodes in ids.items():
                expected = metric.of(dataset.task)(
                    found[nodes].detach(), dataset.labels[nodes]
                ).item()
                kept = metrics[model][name][part]["per_seed"][k]
                assert kept == pytest.approx(expected, abs=1e-6)
            rows = [r for r in history if (r["seed"], r["stage"]) == (seed, model)]
            assert all("val_accuracy" not in r for r in rows)
            if model != "teacher" or not config.teacher.batch_size:
                best = max(r[f"val_{name}"] for r in rows)
                assert metrics[model][name]["val"]["per_seed"][k] == pytest.approx(best, abs=1e-6)
    best = metrics["student"][name]["val"]["per_seed"]
    assert run.best_seed() == config.train.seeds[int(np.argmax(best))]

    header, table = accuracy_table(config, metrics)
    assert header[1:3] == [f"validation {metric.label} (%)", f"test {metric.label} (%)"]
    student = metrics["student"][name]["test"]
    assert table[-1][2] == f"{100 * student['mean']:.1f} ± {100 * student['std']:.1f}"
    page = tmp_path / "page.html"
    write([out], page, QUIET)
    html = page.read_text()
    assert f"Validation {metric.label} of each model by epoch" in html
    assert table[-1][2] in html and f"test {metric.label} (%)" in html and "Largest class" in html


def test_another_metric_is_another_training(tiny_config, tmp_path):
    """Of a run that is done over, what the metric does not touch is reused, and the history is of
    one metric."""
    out = tmp_path / "run"
    train(tiny_config.replace("train", baselines=["mlp"]), out, report=QUIET)
    before = (out / "influence.npy").stat().st_ino
    config = tiny_config.replace("train", metric="macro_f1")
    metrics = train(config, out, overwrite=True, report=QUIET)
    assert (out / "influence.npy").stat().st_ino == before
    rows = read_history(out / "history.csv")
    assert {r["stage"] for r in rows} == {"teacher", "student"}
    assert all("val_macro_f1" in r and "val_accuracy" not in r for r in rows)
    chosen = metrics["student"]["macro_f1"]["val"]["per_seed"]
    assert chosen == [
        pytest.approx(
            max(r["val_macro_f1"] for r in rows if (r["seed"], r["stage"]) == (s, "student"))
        )
        for s in config.train.seeds
    ]


@pytest.fixture
def folder(tmp_path):
    """A graph of a user's: 300 nodes of which one in ten is of class 1, as features hardly tell."""
    path, n = tmp_path / "graph", 300
    path.mkdir()
    labels = np.zeros(n, dtype=np.int64)
    labels[np.random.permutation(n)[: n // 10]] = 1
    arrays: dict[str, np.ndarray] = {
        "edges": np.random.randint(0, n, (900, 2)),
        "features": (np.random.rand(n, 4) + 0.15 * labels[:, None]).astype(np.float32),
        "labels": labels,
    }
    for name, values in arrays.items():
        np.save(path / f"{name}.npy", values)
    parts = np.concatenate([np.random.permutation(np.flatnonzero(labels == k)) for k in (0, 1)])
    split = {part: parts[k::3].tolist() for k, part in enumerate(("train", "val", "test"))}
    (path / "splits.json").write_text(json.dumps(split))
    return path


def run(folder, out, *overrides):
    content = "data: {name: directory}\nteacher: {hidden: 64}\nstudent: {hidden: 64}\n"
    content += "train: {epochs: 30, seeds: [0], device: cpu, baselines: [mlp]}\n"
    (folder.parent / "config.yaml").write_text(content)
    given = ["--config", str(folder.parent / "config.yaml"), "--out", str(out), "--overwrite"]
    return main(["train", *given, "--set", f"data.root={folder}", *overrides])


def test_a_model_of_one_class_is_told_of(folder, tmp_path, capsys):
    """Each of them, also where it is reused no second time; balanced weights end it."""
    out = tmp_path / "run"
    assert run(folder, out) == 0
    told = capsys.readouterr().err
    for model in ("mlp", "teacher", "student"):
        warning = (
            f"infgrand-dgl: warning: seed 0: {model} predicts one class only on the test nodes"
        )
        assert told.count(warning) == 1
    metrics = json.loads((out / "metrics.json").read_text())
    largest = metrics["student"]["largest_class"]["test"]["mean"]
    assert largest == metrics["student"]["test"]["mean"] == pytest.approx(0.9)
    assert metrics["student"]["predicted_classes"]["test"]["mean"] == 1

    balanced = ("train.class_weights=balanced", "train.metric=balanced_accuracy")
    assert run(folder, out, *balanced, "train.epochs=150") == 0
    assert "predicts one class only" not in capsys.readouterr().err
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["student"]["predicted_classes"]["test"]["mean"] == 2
    assert metrics["student"]["largest_class"]["test"]["mean"] == 0.5


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_a_part_of_one_class_has_no_ranking(name, part, folder, tmp_path, capsys):
    """One line, before anything is trained."""
    split, labels = json.loads((folder / "splits.json").read_text()), np.load(folder / "labels.npy")
    split[part] = [i for i in split[part] if labels[i] == 0]
    (folder / "splits.json").write_text(json.dumps(split))
    assert run(folder, tmp_path / "run", f"train.metric={name}") == 2
    error = capsys.readouterr().err
    which = {"val": "validation", "test": "test"}[part]
    message = f"train.metric: {name} needs {which} nodes of two classes or more, found 1;"
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_metric_that_there_is_not(tiny_config):
    with pytest.raises(InputError, match=r"metric.*roc_auc"):
        tiny_config.replace("train", metric="auc")
