"""Two processes (torchrun, gloo) do what one does."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from infgrand_dgl import pipeline
from infgrand_dgl.config import load_config
from infgrand_dgl.console import Reporter


def torchrun(experiment, out, *flags, processes=2):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), "-m", "infgrand_dgl", "train"]
    command += ["--config", str(experiment), "--out", str(out), *flags]
    threads = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **threads})


@pytest.fixture
def experiment(tmp_path, tiny):
    content = yaml.safe_load(tiny.read_text())
    content["data"] |= {"style": "arxiv", "nodes": 1000, "features": 40}
    content["student"] |= {"layers": 3, "dropout": 0.0, "norm": "layer"}
    content["train"] |= {"seeds": [1], "mlp": True}
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def weights(run, name):
    return load_file(run / f"seed-1/{name}.safetensors")


@pytest.mark.parametrize("batch_size", [None, 64])
def test_two_processes_equal_one(batch_size, experiment, tmp_path):
    changed = load_config(experiment).replace("student", batch_size=batch_size)
    experiment.write_text(changed.to_yaml())
    expected = pipeline.train(changed, tmp_path / "one", report=Reporter(quiet=True))
    done = torchrun(experiment, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run directory:") == 1  # one of them speaks
    found = json.loads((tmp_path / "two/metrics.json").read_text())
    assert (found["processes"], expected["processes"]) == (2, 1)
    for name in ("influence.npy", "propagated.npy"):
        one, two = (np.load(tmp_path / run / name) for run in ("one", "two"))
        np.testing.assert_allclose(two, one, rtol=0, atol=1e-6)
    for name in ("mlp", "teacher", "student"):
        one, two = (weights(tmp_path / run, name) for run in ("one", "two"))
        for key in one:
            np.testing.assert_allclose(two[key], one[key], rtol=0, atol=1e-5, err_msg=key)
    for model in ("mlp", "teacher", "student"):
        for part in ("val", "test"):
            assert found[model][part]["mean"] == pytest.approx(
                expected[model][part]["mean"], abs=0.01
            )


DIES = """
import os, threading, time

def die():
    while not os.path.exists("{history}") or sum(1 for _ in open("{history}")) < 3:
        time.sleep(0.01)
    os._exit(9)

if os.environ.get("RANK") == "1":
    threading.Thread(target=die, daemon=True).start()
"""


@pytest.mark.parametrize("stage", ["mlp", "teacher"])
def test_a_failed_process_ends_the_run_with_a_message(stage, experiment, tmp_path, monkeypatch):
    """The second one dies while both train (the plain MLP), or while it waits (the teacher)."""
    content = yaml.safe_load(experiment.read_text())
    content["train"] |= {"epochs": 100_000, "patience": 100_000, "mlp": stage == "mlp"}
    experiment.write_text(yaml.safe_dump(content))
    history = tmp_path / "run.partial/history.csv"
    (tmp_path / "sitecustomize.py").write_text(DIES.format(history=history))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    done = torchrun(experiment, tmp_path / "run")
    assert done.returncode != 0
    assert "another process of this run has failed" in done.stderr
    assert f"to go on: infgrand-dgl train --resume --out {tmp_path / 'run'}" in done.stderr
    assert "Traceback" not in done.stderr.split("ChildFailedError")[0].split("torchrun")[0]
    assert not (tmp_path / "run").exists() and history.exists()


def test_bad_input_is_told_once(experiment, tmp_path):
    (tmp_path / "out").write_text("")
    done = torchrun(experiment, tmp_path / "out")
    assert done.returncode != 0
    assert done.stderr.count("expected a folder, found a file") == 1
    assert (tmp_path / "out").read_text() == ""
