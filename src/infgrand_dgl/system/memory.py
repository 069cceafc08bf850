"""How much memory a run may take (`resources`), and how much of that is left."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from ..config.schema import ResourcesConfig
from ..errors import InputError
from .kept import drop, held
from .limits import free_by_rlimits, free_in_groups

# What is left of free memory to others, unless a number was given.
SHARE_OF_FREE = 0.85

MARGIN_BYTES = 32 << 20  # what a process takes differs from run to run


@dataclass(frozen=True)
class Budget:
    """Bytes that the process may hold, memory-mapped pages included.

    Args:
        memory: of the host.
        gpu_memory: of the current GPU, by torch's own allocations.
    """

    memory: int
    gpu_memory: int = 0

    @classmethod
    def of(cls, config: ResourcesConfig) -> "Budget":
        """As configured; by default what is held already and a share of what is free now.

        Processes that torchrun started on this host share what is free among them.
        """
        here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        memory = config.memory or resident() + int(SHARE_OF_FREE * free_memory() / here)
        gpu = 0
        if torch.cuda.is_available():
            free = SHARE_OF_FREE * torch.cuda.mem_get_info()[0]
            gpu = config.gpu_memory or torch.cuda.memory_reserved() + int(free)
        return cls(memory, gpu)

    def left(self, device: torch.device | str = "cpu") -> int:
        """Bytes that may still be taken on a device, 0 or more.

        Copies on the GPU that are only kept for later stages (`kept`) count as free: `make_room`.
        """
        if torch.device(device).type == "cuda":
            return max(0, self.gpu_memory - _allocated())
        return max(0, self.memory - resident())

    def fits(self, memory: int, gpu_memory: int = 0) -> bool:
        """Whether so many bytes more may be taken; if so, there is room for them."""
        if memory > self.left() or gpu_memory > self.left("cuda"):
            return False
        self.make_room("cuda", gpu_memory)
        return True

    def fits_on(self, device: torch.device, needed: int) -> bool:
        """`fits`, of bytes on one device."""
        return self.fits(0, needed) if device.type == "cuda" else self.fits(needed)

    def make_room(self, device: torch.device | str, needed: int) -> None:
        """Drops the kept copies, unless so many bytes fit beside them."""
        if torch.device(device).type == "cuda" and needed > self.left(device) - held():
            drop()

    def require(self, purpose: str, memory: int, gpu_memory: int = 0) -> None:
        """Raises an InputError, which says how much would do, unless so many bytes more fit."""
        needed = {"memory": (self.memory, memory + resident())}
        needed["gpu_memory"] = (self.gpu_memory, gpu_memory + _allocated())
        for key, (given, least) in needed.items():
            if least > given and (key == "memory" or gpu_memory):
                raise InputError(
                    f"resources.{key}: {_readable(given)} are too little to {purpose}; "
                    f"{_readable(least + MARGIN_BYTES)} would do"
                )
        self.make_room("cuda", gpu_memory)


def _allocated() -> int:
    """Bytes of the current GPU that are in use, but for copies that are merely kept."""
    return torch.cuda.memory_allocated() - held()


def _readable(size: int) -> str:
    return f"{size / 10**9:.2f}GB" if size >= 10**9 else f"{size / 10**6:.0f}MB"


def resident() -> int:
    """Bytes of memory that the process holds now (0 where the system does not say)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def free_memory() -> int:
    """Bytes that the system, the control groups of the process and its limits can still give."""
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    free = int(re.search(r"MemAvailable:\s+(\d+) kB", text)[1]) << 10  # type: ignore[index]
    return min(free, free_in_groups(), free_by_rlimits())
