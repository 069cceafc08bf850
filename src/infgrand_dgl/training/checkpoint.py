"""Where a training stands: saved every few epochs and when interrupted, restored bit for bit."""

import logging
import math
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from torch import Tensor, nn

from ..system.ranks import ALONE, Ranks
from ..system.reading import reason
from ..system.writing import writing

log = logging.getLogger(__name__)

KEYS = {"fingerprint", "model", "optimizer", "progress", "random", "seconds"}


@dataclass
class TrainingState:
    """How far a training has come, and its best epoch so far: validation metric and weights.

    `best_val` is that metric by its sign: the larger, the better.
    """

    epoch: int = 0
    best_val: float = -math.inf
    best_epoch: int = 0
    best_state: dict[str, Tensor] = field(default_factory=dict)

    def record(self, model: nn.Module, val: float) -> None:
        """Keeps the epoch's weights, if it is as good as the best."""
        if val >= self.best_val:
            self.best_val, self.best_epoch = val, self.epoch
            self.best_state = {k: v.clone() for k, v in model.state_dict().items()}


@dataclass
class Checkpoint:
    """One file: weights, optimizer, early stopping and random states of one training.

    Args:
        path: the file; the first process writes it, all read it.
        fingerprint: of what is trained on what; a file of another one is ignored.
        every: epochs from one to the next; 0: only when interrupted.
    """

    path: Path
    fingerprint: str
    every: int = 0
    ranks: Ranks = ALONE
    start: float = field(default_factory=lambda: time.perf_counter())
    earlier: float = 0.0  # seconds of the training before this process

    @property
    def seconds(self) -> float:
        """Of the training so far, since this object was made and before."""
        return self.earlier + time.perf_counter() - self.start

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> TrainingState:
        """Sets model, optimizer and random numbers to the last save; where none is, as they are.

        A file that is damaged counts as none, with a warning.
        """
        saved = self._read() if self.ranks.tell(self.path.is_file()) else None
        if not all(self.ranks.gather(saved is not None)) or saved is None:
            return TrainingState()
        if saved["fingerprint"] != self.fingerprint or len(saved["random"]) != self.ranks.size:
            return TrainingState()
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        _set_random_states(saved["random"][self.ranks.rank])
        state, self.earlier = TrainingState(**saved["progress"]), saved["seconds"]
        log.info("%s: going on after epoch %d", self.path.name, state.epoch)
        return state

    def _read(self) -> dict[str, Any] | None:
        try:
            with ZipFile(self.path) as archive:  # torch.load compares no checksums
                if damaged := archive.testzip():
                    raise BadZipFile(f"{damaged} is damaged")
            saved = torch.load(self.path, map_location="cpu", weights_only=True)
            if missing := KEYS - saved.keys():
                raise KeyError(*missing)
            return saved
        except Exception as error:  # of many kinds
            log.warning("%s: unreadable, begun anew (%s)", self.path, reason(error))
            return None

    def due(self, epoch: int) -> bool:
        return self.every > 0 and epoch % self.every == 0

    def save(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, state: TrainingState
    ) -> None:
        """Replaces the file; the one before stays until this one is complete."""
        random_states = self.ranks.gather(_random_states())
        if not self.ranks.first:
            return
        content = {
            "fingerprint": self.fingerprint,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "progress": vars(state),
            "random": random_states,
            "seconds": self.seconds,
        }
        with writing(self.path) as partial:
            torch.save(content, partial)


def _random_states() -> dict[str, Any]:
    """Of torch on the CPU and this process's GPU, of NumPy and Python.

    (DGL's cannot be read: it is seeded by epoch.)
    """
    kind, keys, *rest = np.random.get_state()
    version, numbers, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        "python": [version, list(numbers), gauss],
    }


def _set_random_states(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
