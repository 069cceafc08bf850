"""Peak resident memory of whole commands, beside what the imports take.

That is 0.4 GB with a torch for the CPU, and 0.7 GB with one for CUDA.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from infgrand_dgl.system.arrays import new_array

MB = 10**6
MAPPED = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from infgrand_dgl.config import load_config
from infgrand_dgl.data.dataset import NodeDataset, Split
from infgrand_dgl.influence.compute import influence
from infgrand_dgl.propagation.inputs import student_inputs
from infgrand_dgl.system.arrays import map_array
from infgrand_dgl.system.memory import resident
from infgrand_dgl.system.runtime import Runtime
from tests.conftest import random_undirected

folder = Path(sys.argv[1])
imported = resident()
config = load_config("demo", [f"resources.memory={imported + int(sys.argv[2])}", "influence.hops=1"])
x = map_array(folder / "features.npy")
N = len(x)
labels, split = torch.zeros(N, dtype=torch.int64), Split(*torch.arange(N).split(N // 3 + 1))
dataset = NodeDataset("mapped", random_undirected(N, 2 * N), x, labels, 2, split, {})
runtime = replace(Runtime.on("cpu", config.resources), scratch=folder)
assert influence(config, dataset, runtime).scores.isfinite().all()
assert student_inputs(config, dataset, runtime, out=folder / "x.npy").shape == x.shape
peak = open("/proc/self/status").read().split("VmHWM:")[1].split()[0]
print("peak", int(peak) * 1024 - imported, file=sys.stderr)
"""


COMMAND = """
import re, sys
import infgrand_dgl.experiment.train
from infgrand_dgl.cli import main
from infgrand_dgl.system.memory import resident

imported = resident()
status = main(sys.argv[1:])
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
print("peak", int(peak[1]) * 1024 - imported, file=sys.stderr)
sys.exit(status)
"""


def peak(*arguments) -> int:
    """Bytes at the peak of one command, as its own process counts them."""
    return peak_of(COMMAND, *arguments, "--device", "cpu")


def peak_of(code: str, *arguments) -> int:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    return int(done.stderr.rsplit("peak ", 1)[1])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_cora_within_600_mb(real_data, tmp_path):
    settings = [f"data.root={real_data}", "train.epochs=3", "train.seeds=[2022]"]
    used = peak(
        "train", "--config", "cora_gcn_transductive", "--set", *settings, "--out", tmp_path / "r"
    )
    assert used < 600 * MB


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_influence_of_half_a_million_nodes_within_2_8_gb(tmp_path):
    settings = ["data.style=arxiv", "data.nodes=500000"]
    used = peak("influence", "--config", "demo", "--set", *settings, "--out", tmp_path / "i.npy")
    assert used < 2800 * MB


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_mapped_features_of_600_mb_within_600_mb(tmp_path):
    """In memory the influence alone would need four matrices."""
    x = new_array(tmp_path / "features.npy", (600_000, 256))
    for half, rows in enumerate(x.split(300_000)):  # of disjoint support: the minimum is known
        rows[:, 128 * half : 128 * (half + 1)] = torch.rand(len(rows), 128)
    del x, rows
    assert peak_of(MAPPED, tmp_path, 600 * MB) < 600 * MB
