"""Students that read all hops, from the configuration to a prediction."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.cli import main
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import load_dataset
from infgrand_dgl.experiment import train as recipe
from infgrand_dgl.experiment.directory import RunDirectory
from infgrand_dgl.features.sparse import SparseMatrix
from infgrand_dgl.nn.students import STUDENTS
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.propagation.equation import propagate_features
from infgrand_dgl.registry import methods
from infgrand_dgl.report.predictions import predictions
from infgrand_dgl.serving import load_student
from infgrand_dgl.system.memory import Budget
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training.checkpoint import Checkpoint
from infgrand_dgl.training.placement import place
from infgrand_dgl.training.student import train_student
from tests import tasks
from tests.experiment.test_distributed import train_together, weights

OF_HOPS = ["sign", "gamlp"]


def train(config, out):
    return recipe.train(config, out, report=Reporter(quiet=True))


def of_hops(config, model, method="infgrand", **student):
    """Whose inputs are those of 3 hops."""
    config = config.replace("propagation", hops=3)
    student = config.student.model_dump() | {"model": model, "features": "propagated"} | student
    return config.replace(method=method, student=student)


@pytest.mark.parametrize("method", ["mlp", "glnn", "infgrand"])
@pytest.mark.parametrize("model", OF_HOPS)
def test_end_to_end(model, method, tiny_config, tmp_path):
    config = of_hops(tiny_config, model, method, lr=0.05).replace("train", epochs=40, seeds=[1])
    run, out = tmp_path / "run", tmp_path / "p.npy"
    metrics = train(config, run)
    assert metrics["student"]["test"]["mean"] > 0.5  # of three classes
    dataset = load_dataset(config, 1)
    x = propagate_features(dataset.csr, dataset.dense_features(), hops=3, pooling=None)
    written = np.load(run / "propagated.npy")
    assert written.shape == (300, 240) and np.array_equal(written, x.numpy())

    student = RunDirectory(run).student(1)
    assert type(student) is STUDENTS[model] and student.shape["hops"] == 3
    expected = student(x).softmax(dim=1).detach().numpy()
    np.save(tmp_path / "rows.npy", written[5:9])
    predict = ["predict", "--run", str(run), "--out", str(out), "--probabilities"]
    assert main([*predict, "--propagated", str(tmp_path / "rows.npy")]) == 0
    np.testing.assert_allclose(np.load(out), expected[5:9], rtol=1e-5, atol=1e-7)
    accuracy = (expected.argmax(1) == dataset.labels.numpy())[dataset.test].mean()
    assert accuracy == pytest.approx(metrics["student"]["test"]["mean"])


def test_baselines_read_what_is_their_own(tiny_config, tmp_path):
    """Those of raw methods are MLPs, one of a propagated method is as the student."""
    config = of_hops(tiny_config, "sign", "glnn")
    config = config.replace("train", baselines=["mlp", "infgrand"], seeds=[1])
    train(config, tmp_path / "run")
    run, dataset = RunDirectory(tmp_path / "run"), load_dataset(config, 1)
    models = {"mlp": "mlp", "infgrand": "sign", "student": "sign"}
    said = predictions(run, dataset, 1, dataset.test, list(models))
    for name, model in models.items():
        loaded = load_student(run.weights(1, name))
        assert type(loaded) is STUDENTS[model]
        x = dataset.dense_features()
        if model == "sign":
            x = propagate_features(dataset.csr, x, hops=3, pooling=None)
        expected = loaded(x[dataset.test]).softmax(dim=1).detach()
        np.testing.assert_allclose(said.outputs[name], expected.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("model", OF_HOPS)
@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_whatever_labels_are(task, model, tmp_path, capsys):
    tasks.write(tmp_path / "graph", task)
    settings = [*tasks.settings(tmp_path / "graph"), "train.seeds=[1]", "propagation.hops=1"]
    overrides = [*settings, f"student.model={model}", "student.lr=0.05", "student.dropout=0"]
    flags = [word for each in overrides for word in ("--set", each)]
    run, out = str(tmp_path / "run"), str(tmp_path / "p.npy")
    assert main(["train", "--config", "own", *flags, "--out", run, "--quiet"]) == 0
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    metric, least = {"multilabel": ("roc_auc", 0.65), "regression": ("r2", 0.25)}[task]
    assert metrics["student"][metric]["test"]["mean"] > least
    assert main(["predict", "--run", run, "--out", out, "--quiet"]) == 0
    assert np.load(out).shape == (240, 3)


@pytest.mark.parametrize("batch_size", [None, 64])
@pytest.mark.parametrize("model", OF_HOPS)
def test_goes_on_from_a_checkpoint(model, batch_size, tiny_config, tmp_path):
    """Dropout, inputs' too, batch norm and batches: all that random states decide."""
    changes = {"input_dropout": 0.3, "norm": "batch", "batch_size": batch_size}
    config = of_hops(tiny_config, model, "glnn", **changes).replace("train", epochs=9, patience=9)
    dataset, N = load_dataset(config, 1), 300
    given = torch.randn(N, 4 * 5), None, torch.randn(N, 3)

    def trained(name, stop=None):
        def note(epoch, values):
            epochs.append((epoch, values))
            if epoch == stop:
                raise KeyboardInterrupt

        epochs: list[tuple[int, dict[str, float]]] = []
        file = Checkpoint(tmp_path / name, "mark", every=1)
        try:
            student = train_student(
                config, dataset, *given, Runtime.on("cpu"), 7, note, checkpoint=file
            )
        except KeyboardInterrupt:
            return None, epochs
        return student.state_dict(), epochs

    whole, expected = trained("whole")
    nothing, _ = trained("cut", stop=5)
    again, found = trained("cut")
    assert nothing is None and whole is not None and again is not None
    assert 1 < found[0][0] <= 5 and found == expected[found[0][0] - 1 :]
    assert all(torch.equal(again[key], whole[key]) for key in whole)


def test_two_processes_equal_one(tiny_config, tmp_path):
    config = of_hops(tiny_config, "gamlp", norm="layer", dropout=0.0).replace("train", seeds=[1])
    experiment = tmp_path / "experiment.yaml"
    experiment.write_text(config.to_yaml())
    train(config, tmp_path / "one")
    done = train_together(experiment, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    one, two = (np.load(tmp_path / run / "propagated.npy") for run in ("one", "two"))
    assert np.array_equal(one, two)
    one, two = (weights(tmp_path / run, "student") for run in ("one", "two"))
    for key in one:
        np.testing.assert_allclose(two[key], one[key], rtol=0, atol=1e-5, err_msg=key)


def test_a_change_of_the_model_makes_its_inputs_anew(tiny_config, tmp_path):
    config, run = tiny_config.replace("train", seeds=[1]), tmp_path / "run"
    widths = []
    for model in ("mlp", "sign", "gamlp", "mlp"):
        recipe.train(of_hops(config, model), run, overwrite=True, report=Reporter(quiet=True))
        widths.append(np.load(run / "propagated.npy").shape[1])
        assert type(RunDirectory(run).student(1)) is STUDENTS[model]
    assert widths == [60, 240, 240, 60]


@pytest.mark.parametrize("model", OF_HOPS)
def test_rows_of_all_hops_count_where_they_lie(model, tiny_config):
    """All in one step where features of (P + 1) D columns and what is made of them fit; one byte
    less, and it goes by steps."""
    N, width, H, C = 40_000, 4 * 6, 8, 3
    config, x = of_hops(tiny_config, model, layers=3), torch.randn(N, width)
    inner = {"sign": H * 4 + H, "gamlp": H * 3 + 6 + 2 * 4}[model]
    needed = N * (4 * width + 4 * C + 32 + 20 * inner + 32 * C)
    for bytes_left, step in ((needed, None), (needed - 1, True)):
        runtime = Runtime(torch.device("cpu"), Budget(1 << 50))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Budget, "left", lambda *_, left=bytes_left: left)
            placement = place(config, x, C, runtime)
        assert (placement.step is None) == (step is None)


def test_their_inputs_are_dense_whatever_is_asked_for(tiny_config):
    x = torch.randn(300, 24) * (torch.rand(300, 24) < 0.05)
    config = tiny_config.replace("train", inputs="sparse")
    for model, kind in (("mlp", SparseMatrix), ("sign", torch.Tensor)):
        placement = place(of_hops(config, model), x, 3, Runtime.on("cpu"))
        assert isinstance(placement.inputs, kind)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["method=mlp"], "student.features: auto of method: mlp are raw; set .*: propagated"),
        (["student.features=raw"], "student.features: raw of method: infgrand are raw"),
        (["random_propagation.mask=0.5"], "random_propagation.mask: only for student.model: mlp"),
        (["student.layers=1"], "layers: model: sign needs 2 or more"),
        (["method=placed"], "has no place for the positions that placed adds"),
    ],
)
def test_what_does_not_go_together(overrides, told, monkeypatch):
    placed = replace(methods["infgrand"], name="placed", positions=True)
    monkeypatch.setitem(methods.added, "placed", placed)
    with pytest.raises(InputError, match=f"student.*: .*{told}"):
        load_config("demo", ["student.model=sign", *overrides])


def test_a_mask_matters_to_methods_that_read_it():
    given = ["method=mlp", "student.features=propagated", "random_propagation.mask=0.5"]
    assert load_config("demo", ["student.model=sign", *given]).student.reads_hops


@pytest.mark.parametrize("model", STUDENTS)
def test_the_command_writes_what_the_student_reads(model, tiny, tmp_path, capsys):
    out = tmp_path / "x.npy"
    flags = ["--set", f"student.model={model}", "--out", str(out)]
    assert main(["propagate", "--config", str(tiny), *flags, "--quiet"]) == 0
    width = 60 if model == "mlp" else 180
    assert np.load(out).shape == (300, width)
    assert capsys.readouterr().out == f"wrote {out}: float32 [300, {width}]\n"
