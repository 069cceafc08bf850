"""The examples run, as a user would run them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.conftest import python_path

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def run(*arguments: str | Path, path: Path | None = None) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if path is not None:
        environment["PYTHONPATH"] = python_path(path)
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_own_loop():
    printed = run(EXAMPLES / "own_loop.py")
    accuracies = dict(re.findall(r"(teacher|student) (0\.\d+)", printed))
    assert float(accuracies["student"]) > float(accuracies["teacher"]) > 0.7


def test_plugin(tmp_path):
    source = shutil.copytree(EXAMPLES / "plugin", tmp_path / "source")
    installed, out = tmp_path / "installed", tmp_path / "scores.npy"
    pip = ["-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation"]
    run(*pip, "--target", installed, source)

    command = ["-m", "infgrand_dgl", "influence", "--config", "demo", "--out", out, "--set"]
    settings = ["influence.measure=neighbor-degree", "data.nodes=300"]
    run(*command, *settings, path=installed)
    scores = np.load(out)
    assert scores.shape == (300,) and scores.min() == 0 and scores.max() == 1
