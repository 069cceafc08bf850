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

# Its defaults hold the group of all processes for ever, if there is one when it is imported (by
# DistributedDataParallel, say): gloo's threads then outlive the interpreter, and may abort it.
import torch.distributed.nn.functional
from torch import Tensor

from ..errors import InputError

T = TypeVar("T")

# One process may train a teacher while the others wait.
TIMEOUT = timedelta(days=7)


@dataclass(frozen=True)
class Ranks:
    """This process, `rank`, among `size`. Alone, every method returns its argument.

    Tensors are reduced where they lie; values travel through host memory.
    """

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
        values: list[Any] = [value]
        if self.size > 1:
            dist.broadcast_object_list(values, device=torch.device("cpu"))
        return values[0]

    def gather(self, value: T) -> list[T]:
        """Every process's value, by rank."""
        values: list[Any] = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value)
        return values

    def greatest(self, value: int) -> int:
        return max(self.gather(value)) if self.size > 1 else value

    def wait(self) -> None:
        """Returns when every process has come here.

        (A barrier of NCCL's would keep the GPUs busy, for as long as one process trains.)
        """
        self.sum(torch.zeros(()))

    @contextmanager
    def together(self) -> Iterator[None]:
        """No process leaves the block before all; an error of one is raised by all."""
        error: Exception | None = None
        try:
            yield
        except Exception as raised:
            error = raised
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
    """The processes that torchrun started, or this one alone.

    What lies on GPUs goes by NCCL, all else by gloo; each process has the GPU of its local rank.

    Raises:
        InputError: in the others, when one has failed; more processes than GPUs.
    """
    ranks = _join(device)
    try:
        yield ranks
    except RuntimeError as error:
        if ranks.size > 1 and (isinstance(error, dist.DistError) or "peer" in str(error)):
            failure = InputError("another process of this run has failed; its own message says why")
            for note in getattr(error, "__notes__", ()):
                failure.add_note(note)
            raise failure from error
        raise
    finally:
        if ranks.size > 1:
            dist.destroy_process_group()


def _join(device: torch.device) -> Ranks:
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        return ALONE
    options: dict[str, Any] = {"backend": "gloo"}
    if device.type == "cuda":
        local, here = (int(os.environ.get(f"LOCAL_{name}", "0")) for name in ("RANK", "WORLD_SIZE"))
        here, gpus = max(local + 1, here), torch.cuda.device_count()
        if here > gpus:
            raise InputError(
                f"torchrun: expected a GPU for each of the {here} processes here, found {gpus}"
            )
        torch.cuda.set_device(local)
        options = {"backend": "cpu:gloo,cuda:nccl", "device_id": torch.device("cuda", local)}
    if not dist.is_initialized():
        dist.init_process_group(**options, timeout=TIMEOUT)
    return Ranks(dist.get_rank(), dist.get_world_size())
