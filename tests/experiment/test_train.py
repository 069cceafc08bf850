import csv
import json
import time
from typing import get_args

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch.utils._python_dispatch import TorchDispatchMode

from infgrand_dgl import InputError, influence_scores, propagate_features
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import load_dataset
from infgrand_dgl.distillation.loss import Form
from infgrand_dgl.experiment import steps
from infgrand_dgl.experiment import train as recipe
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.influence.compute import influence
from infgrand_dgl.influence.scores import spread
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.present.curves import influence_histogram
from infgrand_dgl.propagation.inputs import student_inputs
from infgrand_dgl.serving import load_student
from infgrand_dgl.system.runtime import Runtime, resolve_device
from infgrand_dgl.training.metrics import accuracy

QUIET = Reporter(quiet=True)


def train(config, out, **options):
    return recipe.train(config, out, overwrite=False, report=QUIET, **options)


def test_run_directory(tiny_config, tmp_path):
    out = tmp_path / "run"
    config = tiny_config.replace("train", baselines=["mlp"])
    metrics = train(config, out)
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert load_config(out / "config.yaml") == config.replace("train", metric="accuracy")
    files = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    assert files == {
        "README.md",
        "config.yaml",
        "metrics.json",
        "history.csv",
        "stages.json",
        "influence.npy",
        "propagated.npy",
        "figures/training_curves.png",
        "figures/influence_histogram.png",
        *(
            f"seed-{s}/{name}"
            for s in (1, 2)
            for name in (
                "mlp.safetensors",
                "teacher.safetensors",
                "student.safetensors",
                "teacher_logits.npy",
            )
        ),
    }
    dataset = load_dataset(config)
    N, D = dataset.num_nodes, dataset.num_features
    for name, shape in (
        ("influence.npy", (N,)),
        ("propagated.npy", (N, D)),
        ("seed-1/teacher_logits.npy", (N, 3)),
    ):
        array = np.load(out / name)
        assert array.shape == shape and array.dtype == np.float32

    assert metrics["dataset"] | {"provenance": None} == {
        "name": "synthetic",
        "nodes": N,
        "edges": dataset.num_edges,
        "features": D,
        "classes": 3,
        "task": "classification",
        "provenance": None,
    }
    assert metrics["seeds"] == [1, 2]
    for model in ("mlp", "teacher", "student"):
        for scores in (metrics[model], metrics[model]["macro_f1"]):
            for part in ("val", "test"):
                values = scores[part]["per_seed"]
                assert len(values) == 2 and all(0 <= v <= 1 for v in values)
                assert scores[part]["mean"] == pytest.approx(np.mean(values))
                assert scores[part]["std"] == pytest.approx(np.std(values))
    for stage in ("load", "influence", "propagate"):
        assert metrics["seconds"][stage] > 0
    for stage in ("teacher", "student", "total"):
        assert len(metrics["seconds"][stage]) == 2

    # What is reported is what the stored models do.
    inputs = torch.from_numpy(np.load(out / "propagated.npy"))
    for k, seed in enumerate((1, 2)):
        student = load_student(out / f"seed-{seed}/student.safetensors")
        logits = student(inputs)[dataset.test]
        found = metrics["student"]["test"]["per_seed"][k]
        assert accuracy(logits.argmax(1), dataset.labels[dataset.test]) == pytest.approx(found)
        teacher = torch.from_numpy(np.load(out / f"seed-{seed}/teacher_logits.npy")).argmax(1)
        found = metrics["teacher"]["val"]["per_seed"][k]
        assert accuracy(teacher[dataset.val], dataset.labels[dataset.val]) == pytest.approx(found)

    rows = list(csv.DictReader((out / "history.csv").open()))
    assert {(r["seed"], r["stage"]) for r in rows} == {
        (s, m) for s in "12" for m in ("mlp", "teacher", "student")
    }
    assert [r["epoch"] for r in rows if r["seed"] == "1" and r["stage"] == "teacher"] == list(
        "12345"
    )
    assert all(r["distillation_loss"] for r in rows if r["stage"] == "student")
    best = max(
        float(r["val_accuracy"]) for r in rows if (r["seed"], r["stage"]) == ("2", "student")
    )
    assert best == pytest.approx(metrics["student"]["val"]["per_seed"][1])


@pytest.mark.parametrize("pooling", ["mean", "max", "min"])
@pytest.mark.parametrize(("hops", "w"), [(1, 1.0), (3, 0.5)])
def test_propagation_is_as_configured(hops, w, pooling, tiny_config):
    config = tiny_config.replace(
        "propagation", hops=hops, pooling=pooling, self_loop_weight=w
    ).replace("influence", hops=2)
    data = load_dataset(config)
    torch.testing.assert_close(
        student_inputs(config, data, Runtime.on("cpu")),
        propagate_features(
            data.graph, data.features, hops=hops, pooling=pooling, self_loop_weight=w
        ),
    )


@pytest.mark.parametrize("algorithm", ["closed_form", "blocked"])
@pytest.mark.parametrize("normalization", ["minmax", "max", "none"])
@pytest.mark.parametrize(("hops", "w"), [(1, 1.0), (3, 0.5)])
def test_influence_is_as_configured(hops, w, normalization, algorithm, tiny_config):
    config = tiny_config.replace(
        "influence", hops=hops, normalization=normalization, algorithm=algorithm
    ).replace("propagation", hops=2, self_loop_weight=w)
    data = load_dataset(config)
    found = influence(config, data, Runtime.on("cpu"))
    expected = influence_scores(
        data.graph, data.features, hops=hops, normalization=normalization, self_loop_weight=w
    )
    torch.testing.assert_close(found.scores, expected, rtol=1e-5, atol=1e-5)
    # Only the closed form looks for the minimum on its own, and only min-max needs it.
    certified = algorithm == "closed_form" and normalization == "minmax"
    assert (found.minimum is not None) == certified


@pytest.mark.parametrize("model", ["gcn", "gat", "sage"])
def test_inductive_run(model, tiny_config, tmp_path):
    config = tiny_config.replace("data", setting="inductive").replace("teacher", model=model)
    metrics = train(config, tmp_path / "run")
    for seed in (1, 2):
        dataset = load_dataset(config, seed)
        observed, hidden = dataset.parts.observed, dataset.test
        assert observed is not None
        folder = tmp_path / f"run/seed-{seed}"
        scores = np.load(folder / "influence.npy")
        assert np.isnan(scores[hidden]).all() and np.isfinite(scores[observed]).all()
        inputs = torch.from_numpy(np.load(folder / "propagated.npy"))
        view = dataset.observed_view()
        alone = student_inputs(config, view, Runtime.on("cpu"))
        torch.testing.assert_close(inputs[observed], alone)
        whole = load_dataset(config.replace("data", setting="transductive"))
        everything = student_inputs(config, whole, Runtime.on("cpu"))
        torch.testing.assert_close(inputs[hidden], everything[hidden])
    for name in ("teacher", "student"):
        assert set(metrics[name]) >= {"val", "test", "test_observed"}


def test_hidden_nodes_do_not_reach_training(tiny_config):
    """Other features, labels and edges of hidden nodes leave every trained weight as it was."""
    from dataclasses import replace

    from infgrand_dgl.training.student import train_student
    from infgrand_dgl.training.teacher import teacher_logits, train_teacher

    config = tiny_config.replace("data", setting="inductive")
    dataset = load_dataset(config, 1)
    hidden = dataset.test
    features, labels = dataset.dense_features().clone(), dataset.labels.clone()
    features[hidden] = torch.rand(len(hidden), dataset.num_features)
    labels[hidden] = (labels[hidden] + 1) % 3
    graph = dataset.graph.clone()
    graph.remove_edges(
        torch.cat(
            [graph.in_edges(hidden, form="eid"), graph.out_edges(hidden, form="eid")]
        ).unique()
    )
    graph.add_edges(hidden, hidden)
    changed = replace(dataset, features=features, labels=labels, csr=CSRGraph.undirected(graph))

    found = []
    for data in (dataset, changed):
        runtime, view = Runtime.on("cpu"), data.observed_view()
        seen = data.parts.observed
        teacher = train_teacher(config, view, runtime, 1, lambda epoch, values: None)
        student = train_student(
            config,
            view,
            student_inputs(config, data, runtime)[seen],
            influence(config, data, runtime).scores[seen],
            teacher_logits(teacher, data, runtime)[seen],
            runtime,
            1,
            lambda epoch, values: None,
        )
        found.append([*teacher.parameters(), *student.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("loss", get_args(Form))
def test_variants_train(loss, precision, tiny_config, tmp_path):
    config = tiny_config.replace(
        "distillation", loss=loss, kl="reverse", edge_weighting="neighborhood"
    )
    config = config.replace("train", precision=precision, epochs=30)
    config = config.replace("student", norm="batch", layers=3)
    metrics = train(config, tmp_path / "run")
    assert metrics["student"]["test"]["mean"] > 0.4
    assert metrics["precision"] == precision


def test_same_seed_same_bits(tiny_config, tmp_path):
    one, two = (train(tiny_config, tmp_path / name) for name in "ab")
    assert one["student"]["test"] == two["student"]["test"]
    for name in ("teacher", "student"):
        paths = (tmp_path / run / f"seed-1/{name}.safetensors" for run in "ab")
        assert len({path.read_bytes() for path in paths}) == 1


def test_forms_of_the_loss_train_alike(tiny_config, tmp_path):
    found = [
        train(tiny_config.replace("distillation", loss=loss), tmp_path / loss)["student"]["val"]
        for loss in get_args(Form)
    ]
    assert found[0]["mean"] == pytest.approx(found[1]["mean"], abs=0.02)


def test_collapsed_student_is_trained_again(tiny_config, tmp_path, monkeypatch):
    now, train_student = 0.0, steps.train_student

    def ten_seconds(*args, **options):
        nonlocal now
        now += 10
        return train_student(*args, **options)

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    monkeypatch.setattr(steps, "train_student", ten_seconds)
    config = tiny_config.replace("train", epochs=60, seeds=[1]).replace("teacher", hidden=32)
    config = config.replace("student", weight_decay=1.0, hidden=32)
    metrics = train(config, tmp_path / "run")
    assert metrics["retrained"] == [["student"]]
    assert metrics["seconds"]["student"] == [20.0]  # both trainings
    rows = list(csv.DictReader((tmp_path / "run/history.csv").open()))
    assert "student_collapsed" in {r["stage"] for r in rows}
    best = max(float(r["val_accuracy"]) for r in rows if r["stage"] == "student")
    assert best == pytest.approx(metrics["student"]["val"]["mean"])
    assert metrics["student"]["val"]["mean"] > metrics["teacher"]["val"]["mean"] - 0.1


def test_no_stage_holds_all_pairs_or_all_edges_times_classes(tiny_config, tmp_path):
    config = tiny_config.replace("data", nodes=2500, features=20, classes=5, degree=6.0)
    config = config.replace("train", epochs=2, seeds=[1])
    dataset = load_dataset(config)
    N, E, C = dataset.num_nodes, dataset.num_edges, dataset.num_classes
    seen: list[torch.Size] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            seen.extend(
                t.shape
                for t in (out if isinstance(out, (tuple, list)) else [out])
                if isinstance(t, torch.Tensor)
            )
            return out

    for loss in get_args(Form):
        with Watch():
            train(config.replace("distillation", loss=loss), tmp_path / loss)
    assert any(shape[:1] == (E,) for shape in seen)  # the watch sees edges at all
    assert not [s for s in seen if s.numel() >= N * N]
    assert not [s for s in seen if E in s and s.numel() >= E * C]


def test_device_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto").type == "cpu"
    with pytest.raises(InputError, match="train.device: cuda is not available"):
        resolve_device("cuda")


def test_a_failure_before_any_stage_leaves_nothing(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "influence", broken)
    with pytest.raises(RuntimeError, match="half-way"):
        train(tiny_config, tmp_path / "run")
    assert list(tmp_path.iterdir()) == [tmp_path / "tiny.yaml"]


def broken(*args, **kwargs):
    raise RuntimeError("half-way")


def test_overwrite_replaces_only_a_run_and_only_when_done(tiny_config, tmp_path, monkeypatch):
    out = tmp_path / "run"
    first, other = train(tiny_config, out), tiny_config.replace("student", lr=0.02)
    with pytest.raises(InputError, match="exists and is not empty; --overwrite replaces it"):
        train(tiny_config, out)
    with monkeypatch.context() as patched:
        patched.setattr(steps, "train_student", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            recipe.train(other, out, overwrite=True, report=QUIET)
    with pytest.raises(InputError, match="an unfinished run is in run.partial; --resume goes on"):
        recipe.train(tiny_config, out, overwrite=True, report=QUIET)
    assert json.loads((out / "metrics.json").read_text()) == first
    changed = tiny_config.replace("train", seeds=[9])
    recipe.train(changed, out, overwrite=True, fresh=True, report=QUIET)
    assert json.loads((out / "metrics.json").read_text())["seeds"] == [9]
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="--overwrite replaces a run, and this is none"):
        recipe.train(tiny_config, mine, overwrite=True, report=QUIET)
    assert (mine / "thesis.tex").exists()


def test_warns_where_influence_says_nothing(tiny_config, tmp_path, capsys):
    config = tiny_config.replace("data", style="products", nodes=3000, degree=10.0, features=100)
    for normalization, expected in (("minmax", True), ("none", False)):
        changed = config.replace("influence", normalization=normalization)
        dataset = load_dataset(changed)
        scores = influence(changed, dataset, Runtime.on("cpu")).scores
        assert spread(scores).flat == expected
    recipe.train(config, tmp_path / "run", overwrite=False, report=Reporter())
    told = capsys.readouterr().err
    assert "almost constant" in told and "influence.normalization: max" in told


def test_influence_histogram_counts_every_score(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *args, **options: drawn.append(figure))
    scores = torch.rand(50)
    scores[:8] = torch.nan  # hidden nodes have none
    influence_histogram(scores, tmp_path / "histogram.png")
    (axes,) = drawn[0].axes
    assert sum(bar.get_height() for bar in axes.patches) == 42
