"""The processes of one run (torchrun): who is who, and what they tell each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from .errors import InputError

T = TypeVar("T")

# One process may train a teacher while the others wait.
PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Ranks:
    """This process, `rank`, among `size`. Alone, every method returns its argument."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """The part of `range(count)` that is this process's: contiguous, of even size."""
        begin, end = (count * r // self.size for r in (self.rank, self.rank + 1))
        return range(begin, end)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over the processes, everywhere; may work in place."""
        return self._reduced(tensor, dist.ReduceOp.SUM)

    def min(self, tensor: Tensor) -> Tensor:
        return self._reduced(tensor, dist.ReduceOp.MIN)

    def max(self, tensor: Tensor) -> Tensor:
        return self._reduced(tensor, dist.ReduceOp.MAX)

    def tell(self, value: T) -> T:
        """The first process's value, everywhere."""
        told: list[Any] = [value]
        if self.size > 1:
            dist.broadcast_object_list(told)
        return told[0]

    def gather(self, value: T) -> list[T]:
        """Every process's value, by rank."""
        values: list[Any] = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value)
        return values

    def greatest(self, value: int) -> int:
        return max(self.gather(value)) if self.size > 1 else value

    def wait(self) -> None:
        """Returns when every process has come here."""
        if self.size > 1:
            dist.barrier()

    @contextmanager
    def together(self) -> Iterator[None]:
        """No process leaves the block before all; an error of one is raised by all."""
        error: Exception | None = None
        try:
            yield
        except Exception as own:
            error = own
        errors = [error]
        if self.size > 1:
            errors = [None] * self.size
            dist.all_gather_object(errors, error)
        if first := error or next(filter(None, errors), None):
            raise first

    def _reduced(self, tensor: Tensor, op: Any) -> Tensor:
        if self.size > 1:
            dist.all_reduce(tensor, op)
        return tensor


ALONE = Ranks()


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """The processes that torchrun started (nccl on GPUs, gloo elsewhere), or this one alone.

    Raises:
        InputError: in the others, when one has failed.
    """
    ranks = _join(device)
    try:
        yield ranks
    except RuntimeError as error:
        if ranks.size > 1 and (isinstance(error, dist.DistError) or "peer" in str(error)):
            told = InputError("another process of this run has failed; its own message says why")
            for note in getattr(error, "__notes__", ()):
                told.add_note(note)
            raise told from error
        raise
    finally:
        if ranks.size > 1:
            dist.destroy_process_group()


def _join(device: torch.device) -> Ranks:
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        return ALONE
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    return Ranks(dist.get_rank(), dist.get_world_size())
