"""Copies between host memory and a GPU that run beside its kernels.

On the CPU nothing is copied, and nothing here takes a thread or memory but `ahead`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

CPU = torch.device("cpu")

BUFFER_BYTES = 32 << 20  # bytes that are copied at a time, more only where one row is longer
BUFFERS = 2  # of a `Staging`


def is_gpu(device: torch.device) -> bool:
    return device.type == "cuda"


def copy_thread(device: torch.device) -> ThreadPoolExecutor:
    """A thread; what it does on a GPU goes to a stream beside that of the kernels."""
    if not is_gpu(device):
        return ThreadPoolExecutor(1)
    index = torch.cuda.current_device() if device.index is None else device.index
    return ThreadPoolExecutor(1, initializer=_work_on, initargs=(_second_stream(index),))


@cache
def _second_stream(index: int) -> torch.cuda.Stream:
    """One stream for good: the allocator keeps the memory of each apart."""
    return torch.cuda.Stream(index)


def _work_on(stream: torch.cuda.Stream) -> None:
    # A thread begins on the first GPU; only to come back there would open a context on it.
    torch.cuda.set_device(stream.device)
    torch.cuda.set_stream(stream)


def reached(device: torch.device) -> torch.cuda.Event | None:
    """An event that is over when the GPU has done all that its current stream was given so far."""
    if not is_gpu(device):
        return None
    event = torch.cuda.Event(blocking=True)
    event.record(torch.cuda.current_stream(device))
    return event


class Staging:
    """Pinned buffers, used by turns, that rows of host memory pass on their way to or from a GPU.

    They hold at most `BUFFERS * BUFFER_BYTES`. Copies go to the current stream, and a buffer is
    written again when its copy is done. For one thread at a time.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.buffers: deque[tuple[Tensor, Any]] = deque()
        if is_gpu(device):
            empty = torch.empty(0, dtype=torch.uint8)
            self.buffers.extend((empty, torch.cuda.Event(blocking=True)) for _ in range(BUFFERS))

    def rows(self, values: Tensor, ids: Tensor) -> Tensor:
        """`values[ids]` on the device, of host memory or a mapped file; ids int64 `[n]`."""
        if not is_gpu(self.device):
            return values[ids]
        out = values.new_empty(len(ids), *values.shape[1:], device=self.device)
        step = max(1, BUFFER_BYTES // max(1, out[:1].nbytes))
        for part, some in zip(out.split(step), ids.split(step), strict=True):
            self.send(part, partial(_select, values, some))
        return out

    def send(self, target: Tensor, write: Callable[[Tensor], Any]) -> None:
        """`target` becomes what the call writes into a host tensor like it."""
        if not is_gpu(self.device):
            write(target)
            return
        host, copied = self._next(target)
        write(host)
        target.copy_(host, non_blocking=True)
        copied.record()

    def receive(self, sources: Iterable[Callable[[], Tensor]]) -> Iterator[Tensor]:
        """What the calls give, in host memory, each until the next one is asked for."""
        if not is_gpu(self.device):
            yield from (source() for source in sources)
            return
        coming: deque[tuple[Tensor, Any]] = deque()
        for source in sources:
            values = source()
            host, copied = self._next(values)
            host.copy_(values, non_blocking=True)
            copied.record()
            coming.append((host, copied))
            if len(coming) == BUFFERS:
                yield _arrived(*coming.popleft())
        while coming:
            yield _arrived(*coming.popleft())

    def _next(self, like: Tensor) -> tuple[Tensor, Any]:
        """Pinned, of the shape and dtype of `like`, and the event of the copy that will use it."""
        buffer, copied = self.buffers.popleft()
        copied.synchronize()
        if len(buffer) < like.nbytes:
            buffer = pinned(like.nbytes)
        self.buffers.append((buffer, copied))
        return buffer[: like.nbytes].view(like.dtype).view(like.shape), copied


def pinned(size: int) -> Tensor:
    return torch.empty(size, dtype=torch.uint8, pin_memory=True)


def _select(values: Tensor, ids: Tensor, out: Tensor) -> None:
    torch.index_select(values, 0, ids, out=out)


def _arrived(host: Tensor, copied: Any) -> Tensor:
    copied.synchronize()
    return host


def ahead(calls: Iterable[Callable[[], T]], device: torch.device = CPU) -> Iterator[T]:
    """The results of the calls, each made by a thread while the one before is used.

    With a GPU its copies go to a stream of their own. Two results are there at a time, the one in
    use and the next: the kernels that read the one before them are done by then. A result may be
    used on the current stream, and dropped at any time.

    Args:
        calls: is asked for the next call by the thread that asks for a result.
    """
    with copy_thread(device) as thread:
        pending: deque[Future[Any]] = deque()
        for call in calls:
            pending.append(thread.submit(_made, call, device, reached(device)))
            if len(pending) > 1:
                yield _handed_over(device, *pending.popleft().result())
        while pending:
            yield _handed_over(device, *pending.popleft().result())


def prefetched(calls: Iterable[Callable[[], T]], device: torch.device) -> Iterator[T]:
    """`ahead` of a GPU. The CPU is busy with the result before: each is made when asked for."""
    if is_gpu(device):
        return ahead(calls, device)
    return (call() for call in calls)


def _made(call: Callable[[], T], device: torch.device, used: Any) -> tuple[T, Any]:
    if used is not None:
        used.synchronize()
    return call(), reached(device)


def _handed_over(device: torch.device, result: T, copied: Any) -> T:
    if is_gpu(device):
        current = torch.cuda.current_stream(device)
        current.wait_event(copied)
        for tensor in tensors(result):
            if is_gpu(tensor.device):  # its memory is the copies' stream's
                tensor.record_stream(current)
    return result


def tensors(value: Any, seen: set[int] | None = None) -> Iterator[Tensor]:
    """The strided tensors that a value is made of: in mappings, sequences, dataclasses."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    parts: Iterable[Any] = ()
    if isinstance(value, Tensor):
        if value.layout == torch.strided:
            yield value
        else:
            parts = value.crow_indices(), value.col_indices(), value.values()
    elif isinstance(value, Mapping):
        parts = value.values()
    elif isinstance(value, list | tuple):
        parts = value
    elif hasattr(value, "__dataclass_fields__"):
        parts = vars(value).values()
    for part in parts:
        yield from tensors(part, seen)
