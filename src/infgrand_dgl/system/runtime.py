"""What a computation runs in, in one value: device, budget, scratch folder, processes, progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import torch

from ..config.schema import ResourcesConfig
from ..errors import InputError
from .memory import Budget
from .ranks import ALONE, Ranks

# Is told how many steps are done, and of how many.
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Runtime:
    """
    Args:
        device: where blocks are worked on, and models train.
        budget: bytes that this process may hold.
        scratch: a folder for what does not fit in memory, which all processes see; None: the
            system's, where a file is needed.
        ranks: the processes that share the work.
        progress: is told how much is done where that is not one step.
    """

    device: torch.device
    budget: Budget
    scratch: Path | None = None
    ranks: Ranks = ALONE
    progress: Progress = lambda done, total: None

    def steps(self, total: int) -> Callable[[], None]:
        """To be called after each of so many steps: tells `progress`."""
        done = count(1)
        return lambda: self.progress(next(done), total)

    @classmethod
    def on(cls, device: torch.device | str, resources: ResourcesConfig | None = None) -> Runtime:
        """One process on a device, with what `resources` says, or a share of what is free."""
        return cls(torch.device(device), Budget.of(resources or ResourcesConfig()))


def resolve_device(name: str) -> torch.device:
    """The device of a name; "auto" is the GPU where torch has one.

    Raises:
        InputError: "cuda" without one.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        why = "this torch has no CUDA" if torch.version.cuda is None else "torch finds no GPU"
        raise InputError(f"train.device: cuda is not available ({why}); use cpu or auto")
    return torch.device(name)
