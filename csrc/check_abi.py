"""`make abi`: compiles both libraries against the oldest torch that is supported, and checks them.

Every symbol that these and the libraries beside the package leave to be found at run time must be
one that the wheel of that torch exports, or one of the C and C++ runtimes; the CUDA runtime is
linked in.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
(OLDEST,) = (
    found[1] for name in PROJECT["dependencies"] if (found := re.match(r"torch>=(.*)", name))
)
FOLDER = ROOT / "build/abi"
PACKAGE = ROOT / "src/infgrand_dgl"
# What compiling takes of a wheel, and the libraries that `import torch` loads.
WANTED = re.compile(r"torch/(__init__\.py|include/.*|lib/lib(c10|torch)(_cpu|_cuda)?\.so)")
RUNTIMES = {"GLIBC", "GLIBCXX", "CXXABI", "GCC"}  # versions of symbols of C and C++


def oldest_torch() -> Path:
    """A folder with the package of that torch, of which nothing is imported."""
    folder = FOLDER / f"torch-{OLDEST}"
    if not folder.exists():
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", FOLDER]
        subprocess.run([*pip, f"torch=={OLDEST}"], check=True)
        (wheel,) = FOLDER.glob(f"torch-{OLDEST}*.whl")
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(partial, filter(WANTED.fullmatch, archive.namelist()))
        wheel.unlink()
        partial.rename(folder)
    return folder


def symbols(library: Path, kind: str) -> list[str]:
    """Names with their versions, without the weak ones that may stay undefined."""
    listed = subprocess.run(
        ["nm", "-D", kind, str(library)], capture_output=True, text=True, check=True
    ).stdout
    lines = [line.split() for line in listed.splitlines()]
    return [line[-1] for line in lines if kind != "--undefined-only" or line[-2] != "w"]


def main() -> None:
    folder = oldest_torch()
    out = FOLDER / "lib"
    build = [sys.executable, "setup.py", "-q", "build_ext", "--force"]
    subprocess.run(
        [*build, "--build-lib", str(out), "--build-temp", str(FOLDER / "temp")],
        cwd=ROOT,
        # The symbols are the same for every architecture.
        env={**os.environ, "PYTHONPATH": str(folder), "INFGRAND_DGL_CUDA_ARCH": "90a"},
        check=True,
    )
    exported = {
        name.split("@")[0]
        for library in (folder / "torch/lib").glob("*.so")
        for name in symbols(library, "--defined-only")
    }
    missing = 0
    for library in sorted([*out.rglob("*.so"), *PACKAGE.glob("*.so")]):
        needed = symbols(library, "--undefined-only")
        absent = [
            name
            for name in needed
            if name.split("@")[0] not in exported
            and re.sub(r".*@|_[\d.]+$", "", name) not in RUNTIMES
        ]
        missing += len(absent)
        print(f"{library.relative_to(ROOT)}: {len(needed)} symbols, torch {OLDEST}", end=" ")
        print(f"lacks {', '.join(absent)}" if absent else "and the runtimes have all")
    sys.exit(missing > 0)


if __name__ == "__main__":
    main()
