"""The compiled libraries: built, loaded, and done without where they are missing."""

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import setuptools
import torch

import infgrand_dgl
from infgrand_dgl import ops
from tests.conftest import python_path

ROOT = Path(__file__).parents[2]
PACKAGE = Path(infgrand_dgl.__file__).parent
USE = """
import logging, torch
logging.basicConfig(format="%(message)s")
from infgrand_dgl.graph import CSRGraph
from infgrand_dgl.ops import loaded, spmm
csr = CSRGraph(torch.tensor([0, 2, 3]), torch.tensor([0, 1, 1], dtype=torch.int32), 2)
x = torch.eye(2).requires_grad_()
for _ in range(3):
    y = spmm(csr, x, self_weight=1.0)
y.sum().backward()
print(sorted(loaded()), y.tolist(), x.grad.tolist())
"""


def test_libraries_are_built_and_loaded():
    assert ops.built()["cpu"] and "cpu" in ops.loaded()
    if shutil.which("nvcc"):
        assert ops.built()["cuda"]
    assert ("cuda" in ops.loaded()) == (ops.built()["cuda"] and torch.version.cuda is not None)


@pytest.fixture
def copied(tmp_path) -> Path:
    shutil.copytree(PACKAGE, tmp_path / "infgrand_dgl", ignore=shutil.ignore_patterns("*.so"))
    return tmp_path


def use(folder):
    done = subprocess.run(
        [sys.executable, "-c", USE],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": python_path(folder)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr.strip()


RESULT = "[[2.0, 1.0], [0.0, 2.0]] [[2.0, 2.0], [3.0, 3.0]]"


def test_without_extension_it_works_and_says_so_once(copied):
    out, err = use(copied)
    assert out == f"[] {RESULT}"
    assert err.count("_C.so is not built: its ops run in plain torch") == 1


def test_broken_extension_is_one_clear_line(copied):
    (copied / "infgrand_dgl/ops/_C.so").write_bytes(b"\x7fELF nonsense")
    out, err = use(copied)
    assert out == f"[] {RESULT}"
    (line,) = [line for line in err.splitlines() if "_C.so" in line]
    assert "_C.so cannot be loaded, its ops run in plain torch: " in line


def test_with_extension_the_result_is_the_same(copied):
    shutil.copy(PACKAGE / "ops/_C.so", copied / "infgrand_dgl/ops")
    out, err = use(copied)
    assert out == f"['cpu'] {RESULT}"
    assert "_C.so" not in err


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")
def test_architectures(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: None)
    architectures = runpy.run_path("setup.py")["cuda_architectures"]
    monkeypatch.delenv("INFGRAND_DGL_CUDA_ARCH", raising=False)
    assert "-gencode=arch=compute_80,code=[sm_80,compute_80]" in architectures("nvcc")
    monkeypatch.setenv("INFGRAND_DGL_CUDA_ARCH", "80,90a")
    assert architectures("nvcc") == [
        "-gencode=arch=compute_80,code=sm_80", "-gencode=arch=compute_90a,code=sm_90a",
    ]  # fmt: skip
    for wrong in ("", "90b", "12", "sm_90", "80, 90"):
        monkeypatch.setenv("INFGRAND_DGL_CUDA_ARCH", wrong)
        with pytest.raises(SystemExit, match=f"80,90a; found '{wrong}'"):
            architectures("nvcc")
