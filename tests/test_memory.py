"""Peak resident memory of whole commands."""

import subprocess
import sys

import pytest

GIB = 1 << 30


COMMAND = """
import re, sys
from infgrand_dgl.cli import main
status = main(sys.argv[1:])
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
print("peak", int(peak[1]) * 1024, file=sys.stderr)
sys.exit(status)
"""


def peak(*arguments) -> int:
    """Bytes at the peak of one command, as its own process says when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *map(str, arguments), "--device", "cpu"],
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(done.stderr.rsplit("peak ", 1)[1])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_cora_below_1_gb(real_data, tmp_path):
    settings = [f"data.root={real_data}", "train.epochs=3", "train.seeds=[2022]"]
    used = peak(
        "train", "--config", "cora_gcn_transductive", "--set", *settings, "--out", tmp_path / "r"
    )
    assert used < GIB


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_influence_of_half_a_million_nodes_below_3_gb(tmp_path):
    settings = ["data.style=arxiv", "data.nodes=500000"]
    used = peak("influence", "--config", "demo", "--set", *settings, "--out", tmp_path / "i.npy")
    assert used < 3 * GIB
