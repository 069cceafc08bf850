"""gpu_probe.py DEVICE: what this Python lacks for the GPU check, all at once, and the machine.

As JSON: {"problems": [...], "machine": {...}}. It is a process of its own, so that the check itself
imports nothing that holds a GPU.
"""

import importlib
import importlib.util
import json
import os
import shutil
import sys
import types
from contextlib import suppress
from pathlib import Path
from typing import Any

# Wheels by the modules that must be there, with the version that is needed.
WHEELS = {
    "torch": "torch>=2.10",
    "setuptools": "setuptools>=77",
    "numpy": "numpy>=2",
    "dgl": "dgl==2.1.0",
    "pydantic": "pydantic>=2.8",
    "pydantic_core": "pydantic_core",
    "annotated_types": "annotated-types",
    "typing_inspection": "typing-inspection",
    "typing_extensions": "typing_extensions",
    **{name: name for name in ("scipy", "pandas", "packaging", "rich", "matplotlib")},
    **{name: name for name in ("safetensors", "jinja2", "networkx", "requests", "tqdm", "psutil")},
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "markdown_it": "markdown-it-py",
    "pytest": "pytest",
    "hypothesis": "hypothesis",
}


def probe(device: str) -> dict[str, Any]:
    """What this Python lacks, all at once, and the machine."""
    problems, missing = [], []
    # As in infgrand_dgl.graph.dgl_ready: graphbolt's library for this torch may be missing.
    sys.modules.setdefault("dgl.graphbolt", types.ModuleType("dgl.graphbolt"))
    os.environ.setdefault("DGLBACKEND", "pytorch")
    for name, wheel in WHEELS.items():
        if importlib.util.find_spec(name) is None:
            missing.append(wheel)
    for name, wheel in WHEELS.items():
        if wheel in missing or (missing and name == "dgl"):
            continue
        try:
            module = importlib.import_module(name)
        except Exception as error:
            problems.append(f"{name} cannot be imported: {(str(error).splitlines() or [''])[0]}")
            continue
        if ">=" in wheel:
            least, version = wheel.split(">=")[1], module.__version__
            if version_key(version) < version_key(least):
                problems.append(f"{name} {version} is too old; {least} is needed")
    if missing:
        problems.append(
            f"{sys.executable} finds no {', '.join(missing)}; PYTHONPATH can name their folder "
            f'(docs/kernels.md, "On a machine with a GPU", says how to take them along)'
        )
    if not shutil.which(os.environ.get("CXX", "g++")):
        problems.append("no g++, and CXX names no other compiler")
    if device == "cuda" and not cuda_tool("nvcc"):
        problems.append("no nvcc in CUDA_HOME, on the PATH or in /usr/local/cuda")
    machine: dict[str, Any] = {"python": sys.version.split()[0], "card": None, "driver": None}
    if "torch>=2.10" not in missing:
        import torch

        machine |= {"torch": torch.__version__, "cuda": torch.version.cuda}
        if device == "cuda" and not torch.cuda.is_available():
            problems.append(f"no GPU: torch {torch.__version__} of {sys.executable} finds none")
        elif device == "cuda":
            major, minor = torch.cuda.get_device_capability()
            machine["card"] = torch.cuda.get_device_name()
            machine["memory_bytes"] = torch.cuda.get_device_properties(0).total_memory
            # Hopper and later have instructions of their own, which no later card knows.
            machine["architecture"] = f"{major}{minor}{'a' if major >= 9 else ''}"
            with suppress(OSError):
                machine["driver"] = Path("/proc/driver/nvidia/version").read_text().split("\n")[0]
    return {"problems": problems, "machine": machine}


def version_key(version: str) -> list[int]:
    return [int(part) for part in version.split("+")[0].split(".")[:2]]


def cuda_tool(name: str) -> str | None:
    homes = [os.environ[k] for k in ("CUDA_HOME", "CUDA_PATH") if k in os.environ]
    candidates = [*(f"{home}/bin/{name}" for home in homes), name, f"/usr/local/cuda/bin/{name}"]
    return next(filter(None, map(shutil.which, candidates)), None)


if __name__ == "__main__":
    print(json.dumps(probe(sys.argv[1])))
