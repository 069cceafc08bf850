"""Readings of the teacher are made where a student asks for them, once, and kept with the run."""

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.distillation.methods import glnn
from infgrand_dgl.experiment import steps
from infgrand_dgl.experiment.train import train as recipe
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.registry import Method, methods


def train(config, out, **flags):
    return recipe(config, out, report=Reporter(quiet=True), **flags)


@pytest.fixture
def lessons(monkeypatch):
    """A method `curious` that asks for all; what it was given, seed by seed."""
    given = []

    def objective(lesson):
        given.append(lesson)
        return glnn.glnn(lesson)

    asks = frozenset({"hidden", "perturbed"})
    choice = Method("curious", label="Curious", objective=objective, teacher=asks)
    monkeypatch.setitem(methods.added, "curious", choice)
    return given


def counted(monkeypatch):
    calls: list[str] = []

    def counting(name, original):
        def call(*args):
            calls.append(name)
            return original(*args)

        return call

    for name, original in steps.READINGS.items():
        monkeypatch.setitem(steps.READINGS, name, counting(name, original))
    return calls


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
def test_made_once_where_asked_for(setting, tiny_config, tmp_path, lessons, monkeypatch):
    config = tiny_config.replace("data", setting=setting)
    config = config.replace("train", baselines=["glnn"])
    calls, out = counted(monkeypatch), tmp_path / "run"
    train(config.replace(method="glnn").replace("train", baselines=[]), out)
    assert not calls and not list(out.rglob("teacher_hidden.npy"))
    train(config.replace(method="curious"), out, overwrite=True)
    assert calls == ["hidden", "perturbed"] * 2
    for seed, lesson in zip((1, 2), lessons, strict=True):
        N = 300
        for name, width in (("hidden", 8), ("perturbed", 3)):
            kept = np.load(out / f"seed-{seed}/teacher_{name}.npy")
            assert kept.shape == (N, width)
            found = getattr(lesson, name)
            assert found.shape == (lesson.view.num_nodes, width)
            assert (len(found) < N) == (setting == "inductive")
            if setting == "transductive":
                assert np.array_equal(found, kept)
    again = config.replace(method="curious").replace("student", lr=0.02)
    train(again, out, overwrite=True)
    assert len(calls) == 4  # reused
    (out / "seed-1/teacher_hidden.npy").unlink()
    train(again, out, overwrite=True)
    assert calls[4:] == ["hidden"] and (out / "seed-1/teacher_hidden.npy").exists()
    train(again.replace("teacher", hidden=9), out, overwrite=True)
    assert sorted(calls[5:]) == ["hidden", "hidden", "perturbed", "perturbed"]


def test_logits_of_a_file_have_no_readings(tiny_config, tmp_path, lessons):
    np.save(tmp_path / "logits.npy", torch.randn(300, 3).numpy())
    given = tiny_config.replace("teacher", logits=str(tmp_path / "logits.npy"))
    expected = "^method: curious needs more of the teacher than its logits, and teacher.logits: "
    with pytest.raises(InputError, match=expected):
        train(given.replace(method="curious"), tmp_path / "run")
    assert not lessons and train(given.replace(method="glnn"), tmp_path / "run")
