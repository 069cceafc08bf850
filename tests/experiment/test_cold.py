"""Inductive runs judge every model in cold start too, and by GLNN's production mix."""

import json

import numpy as np
import pytest

from infgrand_dgl.cli.accuracy_table import accuracy_table
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import load_dataset
from infgrand_dgl.experiment.train import train
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.report.metrics import results
from infgrand_dgl.serving import load_student
from tests import tasks

QUIET = Reporter(quiet=True)
INDUCTIVE = [
    "data.setting=inductive",
    "train.baselines=[mlp]",
    "train.seeds=[1]",
    "train.epochs=20",
]


def train_(config, out, **options):
    return train(config, out, report=QUIET, **options)


def test_students_have_their_own_features_alone(tiny, tmp_path):
    config = load_config(tiny, INDUCTIVE)
    metrics = train_(config, tmp_path / "run")
    for k, seed in enumerate(config.train.seeds):
        dataset = load_dataset(config, seed)
        x, y = dataset.dense_features()[dataset.test], dataset.labels[dataset.test]
        for model in ("student", "mlp"):
            said = load_student(tmp_path / f"run/seed-{seed}/{model}.safetensors")(x).argmax(dim=1)
            expected = float((said == y).double().mean())
            assert metrics[model]["test_cold"]["per_seed"][k] == pytest.approx(expected)
            largest = metrics[model]["largest_class"]
            assert largest["test_cold"]["per_seed"][k] == largest["test"]["per_seed"][k]
    for name in ("per_seed", "mean", "std"):  # which reads raw features anyway
        assert metrics["mlp"]["test_cold"][name] == metrics["mlp"]["test"][name]
    assert metrics["student"]["test_cold"] != metrics["student"]["test"]
    assert set(metrics["student"]["macro_f1"]) == {"val", "test", "test_observed", "test_cold"}


@pytest.mark.parametrize("model", ["gcn", "sage", "gat"])
def test_a_teacher_has_a_graph_without_their_edges(model, tiny, tmp_path):
    """An isolated node of a GCN is an MLP of the same weights: every mean is of itself."""
    changes = [*INDUCTIVE, f"teacher.model={model}", "train.baselines=[]"]
    config = load_config(tiny, changes)
    metrics = train_(config, tmp_path / "run")
    teacher = metrics["teacher"]
    assert set(teacher["test_cold"]["per_seed"]) != {0.0} and "test_cold" in teacher["macro_f1"]
    if model != "gcn":
        return
    from safetensors.torch import load_file

    for k, seed in enumerate(config.train.seeds):
        dataset = load_dataset(config, seed)
        h, y = dataset.dense_features()[dataset.test], dataset.labels[dataset.test]
        weights = load_file(tmp_path / f"run/seed-{seed}/teacher.safetensors")
        w0, b0, w1, b1 = (weights[f"layers.{i}.{n}"] for i in (0, 1) for n in ("weight", "bias"))
        logits = ((h @ w0 + b0).relu()) @ w1 + b1
        expected = float((logits.argmax(dim=1) == y).double().mean())
        assert teacher["test_cold"]["per_seed"][k] == pytest.approx(expected)


def test_saved_logits_know_nothing_of_it(tiny, tmp_path):
    """Their table has a gap, a transductive run no such column."""
    np.save(tmp_path / "logits.npy", np.random.randn(300, 3).astype(np.float32))
    settings = [*INDUCTIVE, f"teacher.logits={tmp_path}/logits.npy", "train.epochs=2"]
    config = load_config(tiny, settings)
    metrics = train_(config, tmp_path / "run")
    assert "test_cold" in metrics["student"] and "test_cold" not in metrics["teacher"]
    header, rows = accuracy_table(config, metrics)
    assert header[1:5] == [
        f"{t} (%)" for t in ("validation", "test", "test, observed", "test, cold")
    ]
    assert [row[4] == "-" for row in rows] == [row[0].startswith("teacher") for row in rows]
    told = results(json.loads((tmp_path / "run/metrics.json").read_text()), config).tables[0]
    assert "test, cold (%)" in told.header and "test, cold: those" in told.caption
    metrics = train_(config.replace("data", setting="transductive"), tmp_path / "other")
    assert not {"test_cold", "production"} & set(metrics["student"])


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_of_other_tasks(task, tmp_path):
    folder = tasks.write(tmp_path / "set", task)
    changes = ["data.setting=inductive", "train.seeds=[1]", "method=mlp", "train.epochs=5"]
    path = tmp_path / "config.yaml"
    path.write_text("data: {name: directory}\n")
    config = load_config(path, [*tasks.settings(folder), *changes])
    student = train_(config, tmp_path / "run")["student"]
    name = {"multilabel": "roc_auc", "regression": "mae"}[task]
    assert student[name]["test_cold"] == student[name]["test"]


def test_production_of_glnn(tiny, tmp_path):
    settings = ["data.protocol=glnn", "data.nodes=900", "data.split_rate=0.25", *INDUCTIVE]
    config = load_config(tiny, settings)
    metrics = train_(config, tmp_path / "run")
    dataset = load_dataset(config, 1)
    assert dataset.ids is not None
    kept = np.load(tmp_path / "run/ids.npy")
    assert np.array_equal(kept, dataset.ids) and len(kept) == dataset.num_nodes
    for model in ("teacher", "student", "mlp"):
        for scores in (metrics[model], metrics[model]["macro_f1"]):
            names = ("test", "test_observed", "production")
            hidden, observed, both = (np.array(scores[name]["per_seed"]) for name in names)
            assert both == pytest.approx(0.75 * observed + 0.25 * hidden)
    told = results(metrics, config).tables[0]
    assert "production (%)" in told.header
    assert "Production: 0.75 of test, observed, and 0.25 of test." in told.caption
