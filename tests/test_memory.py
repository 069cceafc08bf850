"""Peak resident memory of whole commands."""

import os
import subprocess
import sys

import pytest

GIB = 1 << 30


def peak(*arguments) -> int:
    """Bytes at the peak of one command, as the operating system accounts for it."""
    command = [sys.executable, "-m", "infgrand_dgl", *map(str, arguments), "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux alone")
def test_cora_below_1_gb(real_data, tmp_path):
    settings = [f"data.root={real_data}", "train.epochs=3", "train.seeds=[2022]"]
    used = peak(
        "train", "--config", "cora_gcn_transductive", "--set", *settings, "--out", tmp_path / "r"
    )
    assert used < GIB


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux alone")
def test_influence_of_half_a_million_nodes_below_3_gb(tmp_path):
    settings = ["data.style=arxiv", "data.nodes=500000"]
    used = peak("influence", "--config", "demo", "--set", *settings, "--out", tmp_path / "i.npy")
    assert used < 3 * GIB
