"""Runs of NOSMOG: its positions are filed, served, made anew where they must be, and shared."""

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.data import load_dataset
from infgrand_dgl.experiment import steps
from infgrand_dgl.experiment.directory import RunDirectory
from infgrand_dgl.experiment.train import train as recipe
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.propagation.positions import positions
from infgrand_dgl.report.predictions import predictions
from infgrand_dgl.serving import predict
from infgrand_dgl.system.memory import Budget
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training import graphed
from infgrand_dgl.training.checkpoint import Checkpoint
from infgrand_dgl.training.student import train_student
from tests.processes import together
from tests.training.test_graphed import EPOCHS, WARM_UP, Replayed, Watched

HERE = Runtime(torch.device("cpu"), Budget(1 << 40, 1 << 40))
SMALL = {"dimension": 5, "walk_length": 8, "walks": 2, "window": 2}


def train(config, out, **flags):
    return recipe(config, out, report=Reporter(quiet=True), **flags)


@pytest.fixture
def config(tiny_config):
    config = tiny_config.replace(method="nosmog").replace("nosmog", **SMALL)
    return config.replace("distillation", lambda_=0.2)


@pytest.fixture
def calls(monkeypatch):
    """For which seeds positions were found."""
    found = []

    def counted(config, dataset, seed, *rest):
        found.append(seed)
        return positions(config, dataset, seed, *rest)

    monkeypatch.setattr(steps, "positions", counted)
    return found


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
@pytest.mark.parametrize("features", ["auto", "propagated"])
def test_run_and_what_it_serves(setting, features, config, tmp_path):
    """A student of features and positions, which `predict` asks without the graph."""
    config = config.replace("data", setting=setting).replace("student", features=features)
    metrics = train(config.replace("train", seeds=[2]), tmp_path / "run")
    run = RunDirectory.open(tmp_path / "run")
    dataset = load_dataset(config, 2)
    inputs, placed = run.propagated(2), positions(config, dataset, 2, None, HERE).numpy()
    assert inputs.shape == (300, 65) and run.array("propagated.npy", 2).parent.name == "seed-2"
    np.testing.assert_array_equal(inputs[:, 60:], placed)
    raw = np.array_equal(inputs[:, :60], dataset.dense_features().numpy())
    assert raw == (features == "auto")
    classes = predict(run.student(2), inputs).argmax(dim=1)
    accuracy = float((classes == dataset.labels)[dataset.test].double().mean())
    assert accuracy == pytest.approx(metrics["student"]["test"]["per_seed"][0])


def test_as_a_baseline(config, tmp_path):
    """In memory, on its own inputs; a report finds them again."""
    alone = train(config, tmp_path / "alone")
    beside = train(config.replace(method="glnn").replace("train", baselines=["nosmog"]),
                   tmp_path / "beside")  # fmt: skip
    assert beside["nosmog"]["test"] == alone["student"]["test"]
    run = RunDirectory.open(tmp_path / "beside")
    assert run.propagated(1).shape == (300, 60) and not list(run.path.rglob("positions.npy"))
    dataset = load_dataset(config, 1)
    said = predictions(run, dataset, 1, dataset.test, ["nosmog"])
    expected = beside["nosmog"]["test"]["per_seed"][0]
    assert said.correct("nosmog").mean() == pytest.approx(expected)


def test_what_is_made_anew(config, tmp_path, calls):
    out = tmp_path / "run"
    train(config, out)
    first = [(out / f"seed-{s}/positions.npy").read_bytes() for s in (1, 2)]
    assert calls == [1, 2] and first[0] != first[1]
    again = train(config.replace("nosmog", epsilon=0.5), out, overwrite=True)
    assert calls == [1, 2]  # an adversary's
    other = train(config.replace("nosmog", epsilon=0.5, walks=3), out, overwrite=True)
    assert calls == [1, 2] * 2 and other["student"] != again["student"]
    (out / "seed-1/propagated.npy").unlink()
    train(config.replace("nosmog", epsilon=0.5, walks=3), out, overwrite=True)
    assert calls == [1, 2] * 2 and (out / "seed-1/propagated.npy").exists()


def test_better_than_a_plain_mlp(config, tmp_path):
    """On a graph where neighbours have one class and features tell little."""
    config = config.replace("data", homophily=0.9).replace("train", seeds=[1], baselines=["mlp"])
    config = config.replace("train", epochs=60, patience=60).replace("teacher", hidden=32)
    config = config.replace("student", hidden=32).replace("nosmog", dimension=16, walk_length=20)
    found = train(config.replace("nosmog", walks=5), tmp_path / "run")
    assert found["student"]["test"]["mean"] > found["mlp"]["test"]["mean"] + 0.03


def test_other_students(config, tmp_path):
    with pytest.raises(InputError, match="student.model: sign: has no place for the positions"):
        train(config.replace("student", model="sign", features="propagated"), tmp_path / "run")


def learn(config, note, checkpoint=None, device=HERE.device):
    """A student of random inputs; its weights."""
    dataset, runtime = load_dataset(config), Runtime(device, HERE.budget)
    generator = torch.Generator().manual_seed(3)
    x, logits, hidden = (torch.randn(300, d, generator=generator) for d in (12, 3, 6))
    given = (config, dataset, x, None, logits, runtime, 7, note, checkpoint)
    return train_student(*given, hidden=hidden).state_dict()


@pytest.mark.parametrize("batch_size", [None, 90])
def test_resumed_bit_for_bit(batch_size, config, tmp_path):
    config = config.replace("train", epochs=12, patience=12)
    config = config.replace("student", batch_size=batch_size, norm="batch")
    expected = learn(config, lambda *_: None)

    def stop(epoch, values):
        if epoch == 8:
            raise RuntimeError("killed")

    path = tmp_path / "checkpoint.pt"
    with pytest.raises(RuntimeError, match="killed"):
        learn(config, stop, Checkpoint(path, "mark", every=3))
    epochs = []
    found = learn(config, lambda e, _: epochs.append(e), Checkpoint(path, "mark"))
    assert epochs[0] == 7
    assert expected.keys() == found.keys() and not any("beside" in key for key in found)
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_a_replayed_epoch_is_the_same_and_waits_for_nothing(config, monkeypatch):
    config = config.replace("train", epochs=EPOCHS, patience=EPOCHS, inputs="dense")
    expected = learn(config, lambda *_: None)
    monkeypatch.setitem(graphed.GRAPHS, "cpu", Watched)
    Replayed.made = []
    found = learn(config, lambda *_: None)
    assert Replayed.made[0].calls.count("replay") == EPOCHS - WARM_UP
    assert all(torch.equal(expected[key], found[key]) for key in expected)


TOGETHER = """
import sys, torch
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.system.ranks import joined
from infgrand_dgl.training import student as training
import tests.experiment.test_nosmog as here
from infgrand_dgl.system.runtime import Runtime

kept = []
fit = training.fit
def noted(model, *args, **options):
    fit(model, *args, **options)
    kept.append([p.detach().clone() for p in model.parameters()])
training.fit = noted
with joined(torch.device("cpu")) as ranks:
    here.Runtime = lambda device, budget: Runtime(device, budget, ranks=ranks)
    config = load_config(sys.argv[1])
    here.learn(config, lambda *_: None)
    mine, other = ranks.gather(kept[0])
    assert len(mine) == 8 and all(map(torch.equal, mine, other)), "g and student are one"
    still = config.replace("nosmog", epsilon=0.0, similarity=0.0, steps=1)
    weights = here.learn(still.replace("student", dropout=0.0, norm="none"), lambda *_: None)
    if ranks.first:
        torch.save(weights, sys.argv[2])
"""


def test_two_processes(config, tmp_path):
    """They stay one student; with nothing at random in it that of one process."""
    config = config.replace("student", norm="batch", batch_size=100)
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    (tmp_path / "together.py").write_text(TOGETHER)
    done = together(*(tmp_path / name for name in ("together.py", "config.yaml", "weights.pt")))
    assert done.returncode == 0, done.stderr
    still = config.replace("nosmog", epsilon=0.0, similarity=0.0, steps=1)
    expected = learn(still.replace("student", dropout=0.0, norm="none"), lambda *_: None)
    found = torch.load(tmp_path / "weights.pt")
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=1e-5)
