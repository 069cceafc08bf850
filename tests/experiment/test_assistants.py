"""Students that another one learns from (`distillation.assistants`)."""

import csv

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from infgrand_dgl.data import load_dataset
from infgrand_dgl.distillation.tasks import DIVERGENCES
from infgrand_dgl.experiment import steps
from infgrand_dgl.experiment import train as recipe
from infgrand_dgl.experiment.assistants import write_mean
from infgrand_dgl.nn.mlp import MLP
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.serving import load_student, save_weights
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training.sampling import mixed
from infgrand_dgl.training.student import train_student


def train(config, out, **flags):
    return recipe.train(config, out, report=Reporter(quiet=True), **flags)


def weights(run, model):
    return load_file(run / f"seed-1/{model}.safetensors")


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture
def config(tiny_config):
    config = tiny_config.replace("train", seeds=[1], epochs=20)
    return config.replace("distillation", assistants=2)


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_mean_prediction(task):
    """In float64, by the words: the mean of probabilities, or of numbers."""
    outputs = 3 * torch.randn(4, 50, 5, dtype=torch.float64)
    found = DIVERGENCES[task].mean_of(outputs)
    predicted = {
        "classification": lambda z: z.exp() / z.exp().sum(dim=-1, keepdim=True),
        "multilabel": lambda z: 1 / (1 + (-z).exp()),
        "regression": lambda z: z,
    }[task]
    mean = sum(predicted(z) for z in outputs) / 4
    torch.testing.assert_close(predicted(found), mean)
    if task == "classification":  # sure predictions have no infinite logarithm
        sure = torch.tensor([[[1000.0, 0.0]], [[1000.0, 0.0]]])
        torch.testing.assert_close(DIVERGENCES[task].mean_of(sure), torch.tensor([[0.0, -1000.0]]))


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_written_by_blocks(layout, device, tmp_path, monkeypatch):
    monkeypatch.setattr("infgrand_dgl.experiment.assistants.EVALUATED_ROWS", 7)
    x = torch.randn(30, 6) * (torch.rand(30, 6) < 0.4)
    students = [MLP(6, 4, 3, layers=2, norm="batch", kept=0.5).eval() for _ in range(3)]
    files = [tmp_path / f"{k}.safetensors" for k in range(3)]
    for student, file in zip(students, files, strict=True):
        save_weights(file, student)
    given = x.to_sparse_csr() if layout == "sparse" else x
    write_mean(tmp_path / "mean.npy", files, given, "classification", torch.device(device))
    found = torch.from_numpy(np.load(tmp_path / "mean.npy"))
    mean = sum(student(x).double().softmax(1) for student in students) / 3
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double().exp(), mean, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("method", ["infgrand", "glnn"])
@pytest.mark.parametrize("setting", ["transductive", "inductive"])
def test_the_student_learns_from_their_mean(method, setting, config, tmp_path):
    """Bit for bit as by a training on these logits; each of them learns from the teacher."""
    config = config.replace(method=method).replace("data", setting=setting)
    run = tmp_path / "run"
    metrics = train(config, run)
    names = ("student_assistant1", "student_assistant2", "student")
    one, two, student = (weights(run, name) for name in names)
    assert not equal(one, two) and not equal(one, student) and not equal(two, student)
    assert set(metrics["seconds"]) >= {"student"} and "student_assistant1" not in metrics

    dataset = load_dataset(config, 1)
    view, seen = dataset.observed_view(), dataset.parts.observed
    seen = torch.arange(dataset.num_nodes) if seen is None else seen
    files = [run / name for name in ("propagated.npy", "seed-1/propagated.npy")]
    made = [file for file in files if file.exists()]
    x = torch.from_numpy(np.load(made[0])) if made else dataset.dense_features()
    x = dataset.dense_features() if method == "glnn" else x
    scores = None
    if method == "infgrand":
        file = run / ("influence.npy" if setting == "transductive" else "seed-1/influence.npy")
        scores = torch.from_numpy(np.load(file))[seen]
    said = [load_student(run / f"seed-1/{name}.safetensors")(x).double() for name in names[:2]]
    mean = (sum(z.softmax(1) for z in said) / 2).log()
    kept = torch.from_numpy(np.load(run / "seed-1/student_assistants.npy"))
    torch.testing.assert_close(kept.double(), mean, atol=1e-5, rtol=1e-5)
    teacher = torch.from_numpy(np.load(run / "seed-1/teacher_logits.npy"))

    def trained(logits, seed):
        inputs = view.features if method == "glnn" else x[seen]
        model = train_student(
            config, view, inputs, scores, logits[seen], Runtime.on("cpu"), seed, lambda *_: None
        )
        return dict(model.state_dict())

    assert equal(trained(kept, 1), student)
    assert equal(trained(teacher, mixed(1, 1)), one)
    assert equal(trained(teacher, mixed(1, 2)), two)


def test_their_own_lambda(config, tmp_path):
    """Theirs alone: without a teacher they are what labels make of them, whatever it says."""
    alone = config.replace("distillation", assistants_lambda=1.0, delta2=0.0)
    for teacher, seed in (("one", 16), ("two", 32)):
        train(alone.replace("teacher", hidden=seed), tmp_path / teacher)
    one, two = tmp_path / "one", tmp_path / "two"
    assert equal(weights(one, "student_assistant1"), weights(two, "student_assistant1"))
    assert not equal(weights(one, "teacher"), weights(two, "teacher"))
    assert equal(weights(one, "student"), weights(two, "student"))
    train(alone.replace("distillation", lambda_=0.7), tmp_path / "other")
    assert equal(
        weights(one, "student_assistant1"), weights(tmp_path / "other", "student_assistant1")
    )
    assert not equal(weights(one, "student"), weights(tmp_path / "other", "student"))


def test_those_that_collapse_have_no_part(config, tmp_path, monkeypatch):
    fallen = [True, False, False]
    monkeypatch.setattr(steps, "has_collapsed", lambda *_: fallen.pop(0))
    train(config, tmp_path / "run")
    assert not fallen
    x = torch.from_numpy(np.load(tmp_path / "run/propagated.npy"))
    two = load_student(tmp_path / "run/seed-1/student_assistant2.safetensors")
    kept = torch.from_numpy(np.load(tmp_path / "run/seed-1/student_assistants.npy"))
    torch.testing.assert_close(kept, two(x).log_softmax(1).detach())

    fallen += [True, True, False, False]  # then the teacher is what is left
    train(config, tmp_path / "none")
    assert not (tmp_path / "none/seed-1/student_assistants.npy").exists()
    train(config.replace("distillation", assistants=0), tmp_path / "without")
    assert equal(weights(tmp_path / "none", "student"), weights(tmp_path / "without", "student"))


def test_their_time_is_the_students(config, tmp_path):
    run = tmp_path / "run"
    metrics = train(config, run)
    rows = list(csv.DictReader((run / "history.csv").open()))
    assert {row["stage"] for row in rows} == {
        *("teacher", "student", "student_assistant1", "student_assistant2")
    }
    alone = train(config.replace("distillation", assistants=0), tmp_path / "alone")
    assert metrics["seconds"]["student"][0] > alone["seconds"]["student"][0]


def test_reused_and_made_anew(config, tmp_path, capsys):
    """The same run trains nothing; more assistants train what is missing; a new rate all."""
    run = tmp_path / "run"
    train(config, run)
    before = {name: weights(run, name) for name in ("student_assistant1", "student")}

    def again(config):
        capsys.readouterr()
        recipe.train(config, run, overwrite=True, report=Reporter())
        return [line for line in capsys.readouterr().out.splitlines() if "reused" in line]

    assert sum("student" in line for line in again(config)) == 4
    assert equal(weights(run, "student"), before["student"])
    more = again(config.replace("distillation", assistants=3))
    assert sum("student" in line for line in more) == 2
    assert equal(weights(run, "student_assistant1"), before["student_assistant1"])
    assert not equal(weights(run, "student"), before["student"])
    assert sum("student" in line for line in again(config.replace("student", lr=0.02))) == 0
