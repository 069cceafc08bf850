"""benchmarks/gpu_check.sh, as far as it goes without a GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks/gpu_check.sh"


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHON": sys.executable, "DEVICE": "cuda"}
    command = ["bash", str(SCRIPT), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_a_folder_is_needed():
    done = check("")
    assert done.returncode == 1 and "make gpu-check REPORT=dir" in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_one_line(tmp_path):
    done = check(str(tmp_path / "report"))
    assert done.returncode == 1 and done.stdout == ""
    assert "gpu-check: no GPU" in done.stderr and done.stderr.count("\n") == 1
    assert (tmp_path / "report/log.txt").read_text() == done.stderr
