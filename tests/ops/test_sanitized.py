"""The op tests once more, under AddressSanitizer and UndefinedBehaviorSanitizer: with the CPU
kernels, and with the CUDA kernels run thread by thread on the host (tests/emulation)."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
OPS = [
    "ops/test_spmm.py",
    "ops/test_propagate.py",
    "ops/test_edge_kl.py",
    "ops/test_gat_aggregate.py",
    "ops/test_cones.py",
    "influence/test_minimum.py",
]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
COMPILER = os.environ.get("CXX", "g++")


def build(sources: list[Path], flags: list[str], out: Path) -> Path:
    torch_root = Path(torch.__file__).parent
    command = [
        *[COMPILER, "-std=c++17", "-O1", "-g1", "-fPIC", "-fvisibility=hidden", "-shared"],
        *["-Wall", "-Werror", *SANITIZERS],
        *[*flags, "-DTORCH_TARGET_VERSION=0x020a000000000000", "-Wl,--no-as-needed"],
        *["-isystem", torch_root / "include", f"-L{torch_root / 'lib'}"],
        *["-x", "c++", *sources, "-x", "none", "-ltorch", "-ltorch_cpu", "-o", out],
    ]
    subprocess.run(list(map(str, command)), check=True)
    return out


@pytest.mark.skipif(shutil.which(COMPILER) is None, reason="needs a C++ compiler")
@pytest.mark.skipif(sys.platform != "linux", reason="preloads the sanitizer's library")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the emulation needs it")
@pytest.mark.parametrize("kernels", ["cpu", "cuda"])
def test_clean(kernels, tmp_path):
    csrc = ROOT / "csrc"
    if kernels == "cpu":
        sources, flags = sorted((csrc / "cpu").glob("*.cpp")), ["-Wextra"]
    else:
        sources = sorted((csrc / "cuda").glob("*.cu"))
        flags = ["-DINFGRAND_EMULATED", "-Wno-unknown-pragmas", f"-I{ROOT / 'tests/emulation'}"]
    library = build([csrc / "ops.cpp", *sources], flags, tmp_path / "_C.so")
    # The sanitizer replaces the throw of libstdc++, which must be there when it looks.
    preload = [
        subprocess.run(
            [COMPILER, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    environment = {
        **os.environ,
        "INFGRAND_DGL_LIBRARY": str(library),
        "INFGRAND_TEST_KERNELS": kernels,
        "LD_PRELOAD": " ".join(preload),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        "OMP_NUM_THREADS": "2",
    }
    tests = [str(ROOT / "tests" / name) for name in OPS]
    chosen = "not opcheck and not brute_force and not torch-cpu"
    if kernels == "cuda":
        chosen += " and not number_of_threads"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-k", chosen, *tests],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert " passed" in done.stdout
