"""Methods that learn from neighbours, in whole runs."""

import json
from typing import Any

import numpy as np
import pytest

from infgrand_dgl.config.reading import load_config
from infgrand_dgl.experiment import steps
from infgrand_dgl.experiment import train as recipe
from infgrand_dgl.present.console import Reporter
from tests.experiment.test_distributed import train_together, weights

RENEWED = ["krd", "hgmd"]  # before an epoch


def train(config, out, **flags):
    return recipe.train(config, out, report=Reporter(quiet=True), **flags)


@pytest.fixture
def config(tiny):
    """Draws of KRD in epochs 3, 6, 9, ...; a checkpoint between two of them."""
    overrides = ["method=glnn", "train.epochs=12", "train.patience=12", "train.seeds=[1]"]
    overrides += ["krd.warm_up=2", "krd.every=3", "train.checkpoint_every=4"]
    return load_config(tiny, [*overrides, f"train.baselines=[{','.join(RENEWED)}]"])


@pytest.mark.parametrize("variant", ["mixup", "weight"])
def test_interrupted_and_resumed_bit_for_bit(variant, config, tmp_path, monkeypatch):
    config = config.replace("hgmd", variant=variant)
    config = config.replace("student", batch_size=100)
    train(config, tmp_path / "whole")
    train_student: Any = steps.train_student
    left = set(RENEWED)

    def interrupted(*args, **options):
        on_epoch, checkpoint = args[-2:]
        method = args[0].method

        def noted(epoch, values):
            on_epoch(epoch, values)
            if epoch == 6 and method in left:  # the last checkpoint is of epoch 4
                left.remove(method)
                raise KeyboardInterrupt

        return train_student(*args[:-2], noted, checkpoint, **options)

    monkeypatch.setattr(steps, "train_student", interrupted)
    for _ in RENEWED:
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "out", resume=True)
    train(config, tmp_path / "out", resume=True)
    assert not left
    names = [f"seed-1/{method}.safetensors" for method in RENEWED]
    for name in [*names, "history.csv", "seed-1/teacher_perturbed.npy"]:
        whole, out = ((tmp_path / run / name).read_bytes() for run in ("whole", "out"))
        assert whole == out, name


def test_two_processes_equal_one(config, tiny, tmp_path):
    config = config.replace("student", dropout=0.0, batch_size=64)
    tiny.write_text(config.to_yaml())
    expected = train(config, tmp_path / "one")
    done = train_together(tiny, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "two/metrics.json").read_text())
    for method in RENEWED:
        one, two = (weights(tmp_path / run, method) for run in ("one", "two"))
        for key in one:
            np.testing.assert_allclose(two[key], one[key], rtol=0, atol=1e-4, err_msg=key)
        assert found[method]["test"]["mean"] == pytest.approx(
            expected[method]["test"]["mean"], abs=0.02
        )


def test_above_the_plain_mlp(tiny, tmp_path):
    """A graph whose features say less than its edges."""
    overrides = ["data.nodes=800", "train.seeds=[1]", "method=hgmd"]
    overrides += ["train.epochs=60", "krd.warm_up=20", "student.hidden=32", "teacher.hidden=32"]
    overrides += ["hgmd.variant=weight", "train.baselines=[mlp,krd,ffg2m]"]
    found = train(load_config(tiny, overrides), tmp_path / "run")
    for model in ("krd", "ffg2m", "student"):
        assert found[model]["test"]["mean"] > found["mlp"]["test"]["mean"], model
