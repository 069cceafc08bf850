"""Builds the two libraries of the extension; everything else is in pyproject.toml.

`_C.so` holds the op schemas and the CPU kernels, `_C_cuda.so` the CUDA kernels. Both use the
LibTorch stable ABI and contain no Python, so one build serves every torch >= 2.10 and every
Python 3. `_C_cuda.so` is built wherever nvcc is found, with or without a GPU, and loaded only
by a torch that has CUDA. INFGRAND_DGL_CUDA=0 skips it, =1 makes a missing nvcc an error;
INFGRAND_DGL_CUDA_ARCH=90a compiles for one GPU.
"""

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

# Of the torch to compile against: it need not be one that this machine can import.
if (found := find_spec("torch")) is None or found.origin is None:
    raise SystemExit(
        "infgrand-dgl compiles against your torch, and this build finds none. "
        "Install torch first (pip install torch), then repeat with --no-build-isolation."
    )

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

TORCH = Path(found.origin).parent
TORCH_TARGET = "0x020a000000000000"  # torch 2.10
HEADERS = sorted(str(path) for path in Path("csrc").rglob("*.h"))
CPU_SOURCES = ["csrc/ops.cpp", *sorted(str(path) for path in Path("csrc/cpu").glob("*.cpp"))]
CUDA_SOURCES = sorted(str(path) for path in Path("csrc/cuda").glob("*.cu"))


def find_nvcc() -> str | None:
    homes = [os.environ[k] for k in ("CUDA_HOME", "CUDA_PATH") if k in os.environ]
    candidates = [f"{home}/bin/nvcc" for home in homes]
    found = (shutil.which(nvcc) for nvcc in [*candidates, "nvcc", "/usr/local/cuda/bin/nvcc"])
    wanted = os.environ.get("INFGRAND_DGL_CUDA")
    nvcc = None if wanted == "0" else next(filter(None, found), None)
    if nvcc is None and wanted == "1":
        raise SystemExit("INFGRAND_DGL_CUDA=1, but nvcc is neither in CUDA_HOME nor on the PATH")
    return nvcc


def cuda_architectures(nvcc: str) -> list[str]:
    """Machine code for A100, Hopper and Blackwell, and PTX for everything later or in between.

    Or for the architectures of INFGRAND_DGL_CUDA_ARCH alone, as in 90a or 80,90a.
    """
    known = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True, check=True)
    numbers = re.findall(r"compute_(\d+)", known.stdout)
    wanted = os.environ.get("INFGRAND_DGL_CUDA_ARCH")
    if wanted is not None:
        for arch in wanted.split(","):
            if not re.fullmatch(r"(\d+)[af]?", arch) or arch.rstrip("af") not in numbers:
                raise SystemExit(
                    f"INFGRAND_DGL_CUDA_ARCH: expected architectures of this nvcc "
                    f"({', '.join(numbers)}), as in 90a or 80,90a; found {wanted!r}"
                )
        return [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in wanted.split(",")]
    flags = ["-gencode=arch=compute_80,code=[sm_80,compute_80]"]
    if "90" in numbers:
        flags.append("-gencode=arch=compute_90a,code=sm_90a")
    if "100" in numbers:
        flags.append("-gencode=arch=compute_100,code=sm_100")
    return flags


class BuildLibraries(build_ext):
    """Compiles with g++ and nvcc directly: torch's own CUDAExtension refuses on a CPU torch."""

    def build_extension(self, ext: Extension) -> None:
        out = Path(self.get_ext_fullpath(ext.name)).absolute()
        inputs = [*ext.sources, *HEADERS, __file__]
        newest = max(Path(path).stat().st_mtime for path in inputs)
        common = [
            "-std=c++17",
            "-O3",
            f"-DTORCH_TARGET_VERSION={TORCH_TARGET}",
            "-shared",
            "-isystem",
            str(TORCH / "include"),
            f"-L{TORCH / 'lib'}",
        ]
        host = ["-fPIC", "-fvisibility=hidden", "-Wall"]
        if ext.name.endswith("_cuda"):
            nvcc = find_nvcc()
            assert nvcc is not None
            command = [
                nvcc,
                "-DUSE_CUDA",
                "--threads=0",
                *cuda_architectures(nvcc),
                f"-Xcompiler={','.join(host)}",
                "-Xlinker=--no-as-needed",
            ]
        else:
            # Else a kernel's speed (by a twelfth) is up to the length of what is linked before it.
            aligned = ["-falign-functions=64", "-falign-loops=32"]
            compiler = os.environ.get("CXX", "g++")
            command = [compiler, *host, *aligned, "-Wextra", "-Wl,--no-as-needed"]
        partial = out.with_suffix(".partial")
        full = [*command, *common, *ext.sources, "-ltorch", "-ltorch_cpu", "-o", str(partial)]
        made_by = Path(self.build_temp, f"{ext.name}.command")  # for other architectures: anew
        same = not made_by.exists() or made_by.read_text() == " ".join(full)
        if not self.force and same and out.exists() and out.stat().st_mtime > newest:
            return
        for folder in (out.parent, made_by.parent):
            folder.mkdir(parents=True, exist_ok=True)
        print(" ".join(full), flush=True)
        try:
            subprocess.run(full, check=True)
        except FileNotFoundError:
            raise SystemExit(f"compiler not found: {full[0]}") from None
        except subprocess.CalledProcessError as error:
            hint = " (INFGRAND_DGL_CUDA=0 builds without CUDA)" if "_cuda" in ext.name else ""
            raise SystemExit(f"{full[0]} failed with status {error.returncode}{hint}") from None
        partial.rename(out)
        made_by.write_text(" ".join(full))

    def get_ext_filename(self, fullname: str) -> str:
        return fullname.replace(".", "/") + ".so"


class PlainWheel(bdist_wheel):
    """py3-none-<platform>: the libraries depend on the machine, but on no Python ABI."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


extensions = [Extension("infgrand_dgl.ops._C", CPU_SOURCES)]
if find_nvcc():
    extensions.append(Extension("infgrand_dgl.ops._C_cuda", CUDA_SOURCES))

setup(
    ext_modules=extensions,
    cmdclass={"build_ext": BuildLibraries, "bdist_wheel": PlainWheel},
)
