"""Loads the compiled libraries and says which devices have kernels."""

import logging
import os
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from ..graph.csr import CSRGraph

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
LIBRARIES = {
    "cpu": os.environ.get("INFGRAND_DGL_LIBRARY", "_C.so"),  # another build, for the sanitizers
    "cuda": "_C_cuda.so",
}

EMULATED = "INFGRAND_DGL_LIBRARY" in os.environ  # maybe: CUDA's kernels as the CPU's


def schedule_of(graph: CSRGraph) -> Tensor | None:
    """For the kernels that read it: those of CUDA."""
    return graph.schedule if graph.indptr.is_cuda or EMULATED else None


def built() -> dict[str, bool]:
    """Which libraries of the extension lie beside the package, by device."""
    return {device: (FOLDER / name).exists() for device, name in LIBRARIES.items()}


@cache
def loaded() -> frozenset[str]:
    """Devices with compiled kernels: a subset of {"cpu", "cuda"}. Loads them on first use.

    A missing or broken library is one warning; its ops then run in plain torch. The CUDA library
    needs the schemas of the CPU one and a torch with CUDA.
    """
    devices: set[str] = set()
    wanted = ["cpu", "cuda"] if torch.version.cuda else ["cpu"]
    for device in wanted:
        path = FOLDER / LIBRARIES[device]
        if not path.exists():
            log.warning(
                "%s is not built: its ops run in plain torch, slower. "
                "`pip install --no-build-isolation -e .` builds it.",
                path.name,
            )
            break
        try:
            torch.ops.load_library(str(path))
        except OSError as error:
            reason = str(error).splitlines()[0]
            log.warning("%s cannot be loaded, its ops run in plain torch: %s", path.name, reason)
            break
        log.info("loaded %s", path)
        devices.add(device)
    return frozenset(devices)
