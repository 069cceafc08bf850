"""The whole pipeline on what large graphs need: prepared files, batches, little memory."""

import json

import numpy as np
import pytest

from infgrand_dgl.cli import main
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.experiment import train as recipe
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.system.memory import Budget

MODELS = ["gcn", "gat", "sage"]


def train(config, out):
    return recipe.train(config, out, report=Reporter(quiet=True))


@pytest.fixture
def experiment(tiny_config):
    config = tiny_config.replace("data", style="arxiv", nodes=3000, features=40, classes=5)
    config = config.replace("teacher", hidden=16, dropout=0.1, batch_size=512)
    config = config.replace("student", hidden=16, dropout=0.1, batch_size=512)
    return config.replace("train", epochs=8, seeds=[1], baselines=["mlp"])


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_prepared_graph_trains(dtype, setting, experiment, tmp_path):
    experiment = experiment.replace("data", setting=setting)
    (tmp_path / "e.yaml").write_text(experiment.to_yaml())
    command = ["data", "prepare", "--config", str(tmp_path / "e.yaml"), "--dtype", dtype]
    assert main([*command, "--out", str(tmp_path / "graph")]) == 0
    prepared = experiment.replace("data", prepared=str(tmp_path / "graph"))
    expected, found = train(experiment, tmp_path / "a"), train(prepared, tmp_path / "b")
    for model in ("mlp", "teacher", "student"):
        assert found[model]["val"]["mean"] == pytest.approx(expected[model]["val"]["mean"], abs=0.1)
    assert main(["predict", "--run", str(tmp_path / "b"), "--out", str(tmp_path / "p.npy")]) == 0


@pytest.mark.parametrize("model", MODELS)
def test_with_no_memory_to_spare_the_result_is_as_good(model, experiment, tmp_path, monkeypatch):
    """A budget that nothing fits: slabs, blocks, sampling, layers one by one, rows from files."""
    experiment = experiment.replace("teacher", model=model, batch_size=None)
    experiment = experiment.replace("student", batch_size=None).replace("train", epochs=30)
    (tmp_path / "e.yaml").write_text(experiment.to_yaml())
    prepare = ["data", "prepare", "--config", str(tmp_path / "e.yaml")]
    assert main([*prepare, "--out", str(tmp_path / "graph")]) == 0
    prepared = experiment.replace("data", prepared=str(tmp_path / "graph"))
    batches = experiment.replace("teacher", batch_size=1024).replace("student", batch_size=1024)
    expected = train(batches, tmp_path / "roomy")
    monkeypatch.setattr(Budget, "left", lambda self, device="cpu": 1 << 14)
    monkeypatch.setattr(Budget, "require", lambda self, *needs: None)
    found = train(prepared, tmp_path / "tight")
    for part in ("val", "test"):
        for name in ("teacher", "student"):
            close = pytest.approx(expected[name][part]["mean"], abs=0.05)
            assert found[name][part]["mean"] == close
    for name in ("influence.npy", "propagated.npy"):
        roomy, tight = (np.load(tmp_path / run / name) for run in ("roomy", "tight"))
        np.testing.assert_allclose(tight, roomy, rtol=0, atol=1e-6)


def test_a_teacher_of_ones_own(experiment, tmp_path):
    """Logits of any model stand in for the teacher; in 16 bits too."""
    first = train(experiment, tmp_path / "first")
    logits = tmp_path / "first/seed-1/teacher_logits.npy"
    given = experiment.replace("teacher", logits=str(logits))
    again = train(given, tmp_path / "again")
    for model in ("teacher", "student"):
        assert again[model]["test"] == first[model]["test"]
    assert not (tmp_path / "again/seed-1/teacher.safetensors").exists()
    half = experiment.replace("teacher", logits_dtype="float16")
    train(half, tmp_path / "half")
    found = np.load(tmp_path / "half/seed-1/teacher_logits.npy")
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, np.load(logits), rtol=2e-3, atol=2e-3)


def test_epochs_of_teacher_and_student(experiment, tmp_path):
    config = experiment.replace("teacher", epochs=3).replace("student", epochs=5)
    train(config, tmp_path / "run")
    rows = (tmp_path / "run/history.csv").read_text().splitlines()[1:]
    stages = [row.split(",")[1] for row in rows]
    assert [stages.count(model) for model in ("mlp", "teacher", "student")] == [5, 3, 5]
    kept = config.replace("train", metric="accuracy")  # of what the labels are
    assert load_config(tmp_path / "run/config.yaml") == kept
    assert json.loads((tmp_path / "run/metrics.json").read_text())["processes"] == 1


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"
)  # of inductor
def test_compiled(experiment, tmp_path):
    """torch.compile changes nothing but the time."""
    experiment = experiment.replace("student", dropout=0.0, epochs=2).replace("train", baselines=[])
    found = [
        train(experiment.replace("train", compile=flag), tmp_path / str(flag))
        for flag in (False, True)
    ]
    assert found[0]["student"]["val"]["mean"] == pytest.approx(
        found[1]["student"]["val"]["mean"], abs=0.02
    )
