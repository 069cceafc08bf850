"""Runs on graphs whose nodes have several labels, or numbers, from files to a served student."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from safetensors.numpy import load_file

from infgrand_dgl import InputError
from infgrand_dgl.cli import main
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import load_dataset
from infgrand_dgl.distillation.methods.infgrand import infgrand
from infgrand_dgl.distillation.objective import Lesson
from infgrand_dgl.experiment.directory import RunDirectory
from infgrand_dgl.experiment.history import History, read_history
from infgrand_dgl.experiment.train import train
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.serving import load_student
from infgrand_dgl.system.arrays import is_mapped
from infgrand_dgl.system.memory import Budget
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training.evaluation import evaluate
from tests.distillation.saying import losses_of
from tests.experiment.test_distributed import train_together

QUIET = Reporter(quiet=True)
TASKS = ["multilabel", "regression"]
MODELS = ["teacher", "student", "glnn", "mlp"]


def write_graph(path, task, n=300):
    """Neighbours are near in a plane that features hardly show; labels are where in it a node is,
    some of them unknown, and numbers far from 0."""
    path.mkdir()
    z = np.random.randn(n, 2)
    source = np.repeat(np.arange(n), 6)
    near = ((z[:, None] - z) ** 2).sum(axis=2).argsort(axis=1)[:, 1:7]
    y = np.stack([z[:, 0], z[:, 1], z[:, 0] + z[:, 1]], axis=1) + 0.2 * np.random.randn(n, 3)
    labels = np.where(y > 0.3, 1.0, 0.0) if task == "multilabel" else 1000 + y * [1, 20, 0.05]
    labels[np.random.rand(n, 3) < 0.1] = np.nan
    labels[np.isnan(labels).all(axis=1), 0] = 0 if task == "multilabel" else 1000
    noise = 0.6 * np.random.randn(n, 8)
    features = np.concatenate([z, z @ np.random.randn(2, 6)], axis=1) + noise
    np.save(path / "edges.npy", np.stack([source, near.ravel()], axis=1))
    np.save(path / "features.npy", features.astype(np.float32))
    np.save(path / "labels.npy", labels.astype(np.float32))
    order = np.random.permutation(n)
    ends = {"train": (0, n // 2), "val": (n // 2, 3 * n // 4), "test": (3 * n // 4, n)}
    split = {part: order[i:j].tolist() for part, (i, j) in ends.items()}
    (path / "splits.json").write_text(json.dumps(split))


@pytest.fixture(params=TASKS)
def experiment(request, tmp_path):
    write_graph(tmp_path / "graph", request.param)
    content = {
        "data": {"name": "directory", "root": str(tmp_path / "graph"), "task": request.param},
        "teacher": {"hidden": 32, "dropout": 0.2, "weight_decay": 1e-5},
        "student": {"hidden": 32, "dropout": 0.2, "weight_decay": 1e-5},
        "train": {"epochs": 40, "seeds": [3], "device": "cpu", "baselines": ["mlp", "glnn"]},
    }
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def worth(outputs, dataset):
    return evaluate(lambda ids, read: read(outputs[ids]), dataset)


def floor(task):
    """Of the usual metric; chance is 0.5, and 0."""
    return ("roc_auc", 0.8) if task == "multilabel" else ("r2", 0.4)


WAYS = {
    "plain": [],
    "inductive": [
        "data.setting=inductive",
        "data.split_rate=0.8",
        "teacher.model=sage",
        "student.norm=batch",
    ],
    "sampled": ["teacher.batch_size=100", "student.batch_size=64", "teacher.jumping_knowledge=sum"],
    "weighted": ["influence.measure=degree", "distillation.edge_weighting=neighborhood"],
}


@pytest.mark.parametrize("way", WAYS)
def test_models_are_far_above_chance(way, experiment, tmp_path):
    """And every number is what the stored models are worth; the best epoch is kept by the metric
    of the task, which stands in the run's configuration."""
    config, out = load_config(experiment, WAYS[way]), tmp_path / "run"
    name, least = floor(config.data.task)
    metrics = train(config, out, report=QUIET)
    assert metrics["metric"] == name == load_config(out / "config.yaml").train.metric
    for model in MODELS:
        found = metrics[model][name]["test"]["mean"]
        assert found > (least if model != "mlp" else least - 0.2), (model, found)
        assert "accuracy" in metrics[model] or config.data.task == "regression"
        assert not {"val", "test", "largest_class"} & metrics[model].keys()
    history, run = read_history(out / "history.csv"), RunDirectory(out)
    dataset = load_dataset(config, 3)
    outputs = {
        "teacher": torch.from_numpy(np.load(run.teacher_logits(3))),
        "student": load_student(run.weights(3, "student"))(
            torch.from_numpy(np.array(run.propagated(3)))
        ),
        "mlp": load_student(run.weights(3, "mlp"))(dataset.dense_features()),
    }
    for model, values in outputs.items():
        judged = worth(values.detach(), dataset)
        for metric in judged.keys() - {"per_class"}:
            for part, value in judged[metric].items():
                kept = metrics[model][metric][part]["per_seed"][0]
                assert kept == pytest.approx(value, abs=1e-5), (model, metric, part)
        kept = metrics[model]["per_class"][name]["test"]["mean"]
        assert kept == pytest.approx(judged["per_class"][name]["test"], abs=1e-5)
        if model != "teacher" or way != "sampled":
            best = max(r[f"val_{name}"] for r in history if r["stage"] == model)
            assert metrics[model][name]["val"]["mean"] == pytest.approx(best, abs=1e-5)


def test_units_are_kept_where_labels_are_numbers(experiment, tmp_path):
    """Mean and deviation of the training nodes' labels, in the file of every model."""
    config, out = load_config(experiment, ["train.epochs=3"]), tmp_path / "run"
    train(config, out, report=QUIET)
    dataset, run = load_dataset(config, 3), RunDirectory(out)
    labels = dataset.labels[dataset.train].double().numpy()
    for model in MODELS:
        stored = load_file(run.weights(3, model))
        if config.data.task == "multilabel":
            assert not any("units" in name for name in stored)
            continue
        np.testing.assert_allclose(stored["units.shift"], np.nanmean(labels, axis=0), rtol=1e-6)
        np.testing.assert_allclose(stored["units.scale"], np.nanstd(labels, axis=0), rtol=1e-4)
        if model != "teacher":
            x = torch.from_numpy(np.array(run.propagated(3)))
            served = load_student(run.weights(3, model))(x).detach().numpy()
            assert abs(served.mean(axis=0) - 1000).max() < 100


@pytest.mark.parametrize("metric", ["average_precision", "rmse"])
def test_another_metric_chooses(metric, experiment, tmp_path):
    """The least epoch, of errors."""
    config = load_config(experiment, [f"train.metric={metric}", "train.epochs=15"])
    if (metric == "rmse") != (config.data.task == "regression"):
        with pytest.raises(InputError, match=f"train.metric: {metric} is for"):
            train(config, tmp_path / "run", report=QUIET)
        assert not (tmp_path / "run").exists()
        return
    metrics = train(config, tmp_path / "run", report=QUIET)
    rows = [r for r in read_history(tmp_path / "run/history.csv") if r["stage"] == "student"]
    values = [r[f"val_{metric}"] for r in rows]
    best = min(values) if metric == "rmse" else max(values)
    assert metrics["student"][metric]["val"]["mean"] == pytest.approx(best, abs=1e-5)


def test_interrupted_and_resumed_has_the_same_bits(experiment, tmp_path, monkeypatch):
    config = load_config(experiment, ["train.epochs=9", "train.checkpoint_every=4"])
    train(config, tmp_path / "whole", report=QUIET)
    original, out = History.add, tmp_path / "out"
    for model in ("mlp", "teacher", "student"):

        def add(self, row, model=model):
            if (row["stage"], row["epoch"]) == (model, 7):
                raise KeyboardInterrupt
            original(self, row)

        monkeypatch.setattr(History, "add", add)
        with pytest.raises(KeyboardInterrupt):
            train(config, out, resume=True, report=QUIET)
    monkeypatch.setattr(History, "add", original)
    train(config, out, resume=True, report=QUIET)
    names = [f"seed-3/{model}.safetensors" for model in MODELS]
    for name in names:
        one, two = load_file(out / name), load_file(tmp_path / "whole" / name)
        assert one.keys() == two.keys()
        assert all(np.array_equal(one[key], two[key]) for key in one), name
    for name in ["seed-3/teacher_logits.npy", "history.csv", "config.yaml"]:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_given_logits_and_an_edgewise_loss(experiment, tmp_path):
    """A saved teacher is as good as a trained one; edge by edge the student is the same."""
    config = load_config(experiment, ["train.epochs=8", "train.baselines=[]"])
    first = train(config, tmp_path / "first", report=QUIET)
    logits = RunDirectory(tmp_path / "first").teacher_logits(3)
    given = config.replace("teacher", logits=str(logits))
    second = train(given, tmp_path / "second", report=QUIET)
    name, _ = floor(config.data.task)
    assert second["teacher"][name]["test"] == first["teacher"][name]["test"]
    assert second["student"][name]["test"] == first["student"][name]["test"]
    edgewise = given.replace("distillation", loss="apply_edges")
    third = train(edgewise, tmp_path / "third", report=QUIET)
    value = third["student"][name]["test"]["mean"]
    assert value == pytest.approx(first["student"][name]["test"]["mean"], abs=0.02)


@pytest.mark.parametrize("backend", ["dgl", "native"])
def test_teachers_of_both_backends(backend, experiment, tmp_path):
    overrides = [f"teacher.backend={backend}", "teacher.model=gat", "teacher.residual=true"]
    config = load_config(experiment, [*overrides, "train.epochs=40"])
    metrics = train(config, tmp_path / "run", students={}, report=QUIET)
    name, least = floor(config.data.task)
    assert metrics["teacher"][name]["test"]["mean"] > least - 0.15


def test_targets_in_a_file(experiment, tmp_path):
    """Where neither they nor what they are made of fit, the loss is the same."""
    config = load_config(experiment)
    view = load_dataset(config, 3)
    influence, N = torch.rand(view.num_nodes), view.num_nodes
    logits = view.labels.nan_to_num() + torch.randn(N, 3)
    out = logits + torch.randn(N, 3)
    found: list[dict[str, torch.Tensor]] = []
    for budget in (Budget(1 << 40, 0), Budget(12 * N, 0)):
        runtime = replace(Runtime.on("cpu"), budget=budget, scratch=tmp_path)
        made = infgrand(Lesson(config, view, influence, logits, runtime))
        assert is_mapped(made.rows["targets"]) == (len(found) == 1)
        found.append(losses_of(made, out))
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value)


@pytest.mark.parametrize(
    ("override", "told", "tasks"),
    [
        ("influence.measure=entropy", "influence.measure: entropy is for classification", "r"),
        ("influence.measure=hybrid", "influence.measure: hybrid is for classification and", "r"),
        ("train.class_weights=balanced", "train.class_weights: balanced: regression has no", "r"),
        (
            "distillation.tau=2",
            "distillation.tau: regression has no temperature, expected 1, found 2",
            "r",
        ),
        ("distillation.kl=reverse", "distillation.kl: regression has no directions", "r"),
        ("teacher.logits_dtype=float16", "teacher.logits_dtype: float16: regression keeps", "r"),
        ("distillation.loss=edge_kl", "distillation.loss: edge_kl is for classification", "mr"),
        ("train.metric=balanced_accuracy", "train.metric: balanced_accuracy is for class", "mr"),
    ],
)
def test_what_a_task_does_not_have(override, told, tasks, experiment, tmp_path, capsys):
    """One line before anything is trained; where the task has it, a run."""
    out = tmp_path / "run"
    given = ["--config", str(experiment), "--out", str(out), "--set", override]
    code = main(["train", *given, "train.epochs=4", "--quiet"])
    error = capsys.readouterr().err
    if load_config(experiment).data.task[0] in tasks:
        assert code == 2 and told in error and error.count("\n") == 1
        assert not out.exists()
    else:
        assert code == 0, error


@pytest.mark.parametrize("experiment", ["regression"], indirect=True)
def test_two_processes_equal_one(experiment, tmp_path):
    """The plain MLP, all nodes in a step; the teacher on sampled neighbourhoods is above chance."""
    overrides = ["student.dropout=0", "train.baselines=[mlp]", "train.epochs=25"]
    config = load_config(experiment, overrides)
    experiment.write_text(config.to_yaml())
    expected = train(config, tmp_path / "one", report=QUIET)
    done = train_together(experiment, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "two/metrics.json").read_text())
    name, least = floor(config.data.task)
    one = expected["mlp"][name]["test"]["mean"]
    assert found["mlp"][name]["test"]["mean"] == pytest.approx(one, abs=0.01)
    assert min(found[m][name]["test"]["mean"] for m in ("teacher", "student")) > least
