"""Versions and devices, for `info` and for the run directory."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from .. import __version__, ops
from ..graph import dgl_bridge


def environment() -> dict[str, Any]:
    built, loaded = ops.built(), ops.loaded()
    return {
        "infgrand_dgl": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": torch.__version__,
        "torch_cuda": torch.version.cuda,
        "dgl": dgl_bridge.dgl.__version__,
        "dgl_cuda": dgl_bridge.has_cuda(),
        "dgl_graphbolt": dgl_bridge.GRAPHBOLT,
        **{name: _version(name) for name in ("numpy", "ogb")},
        "cpu": _cpu(),
        "cpu_cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())],
        "extension": {
            device: "loaded" if device in loaded else "built" if built[device] else "not built"
            for device in built
        },
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        with Path("/proc/cpuinfo").open() as lines:
            return next(
                line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
            )
    except (OSError, StopIteration):
        return platform.machine()
