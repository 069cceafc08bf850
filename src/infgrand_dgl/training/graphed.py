"""Work that repeats itself on a GPU: recorded once as a CUDA graph, then launched as one.

An epoch on a graph of Cora's size is a hundred kernels of some microseconds: Python, which launches
them one by one, takes most of its time.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, Protocol, TypeVar

import torch

log = logging.getLogger(__name__)

T = TypeVar("T")

WARM_UP = 3  # calls before recording, which set up libraries, caches and the optimizer's state


class Graph(Protocol):
    """What records the kernels of a call."""

    def eager(self, call: Callable[[], T]) -> T:
        """The call as it is, where recording will take place."""

    def record(self, call: Callable[[], T]) -> T:
        """Runs no kernel. The memory of the call's result, which every replay fills anew."""

    def replay(self) -> None:
        """Launches what was recorded."""


class CUDAGraph:
    """`torch.cuda.CUDAGraph`. A call may draw from torch's default generator, but must not wait for
    the GPU."""

    def __init__(self, device: torch.device) -> None:
        self.graph, self.stream = torch.cuda.CUDAGraph(), torch.cuda.Stream(device)
        self.index = self.stream.device.index
        self.generator = torch.cuda.default_generators[self.index]

    def eager(self, call: Callable[[], T]) -> T:
        """On the stream that is recorded: gradients are accumulated on the stream they were first
        made on."""
        here = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            result = call()
        here.wait_stream(self.stream)
        return result

    def record(self, call: Callable[[], T]) -> T:
        pool, before = torch.cuda.graph_pool_handle(), self.generator.clone_state()
        try:
            with torch.cuda.stream(self.stream), torch.cuda.graph(self.graph, pool, self.stream):
                return call()
        except RuntimeError:
            # A recording that is broken off leaves generator and allocator in the middle of it.
            self.generator.graphsafe_set_state(before)
            with suppress(RuntimeError, AttributeError):  # torch's own, which may go
                torch._C._cuda_endAllocateToPool(self.index, pool)
            raise

    def replay(self) -> None:
        self.graph.replay()


# What records on a device; elsewhere, calls stay as they are.
GRAPHS: dict[str, Callable[[torch.device], Graph]] = {"cuda": CUDAGraph}


def graphed(
    call: Callable[[], T], optimizer: torch.optim.Optimizer, device: torch.device
) -> Callable[[], T]:
    """`call`, recorded after `WARM_UP` calls where the device can, and from then on replayed.

    Args:
        call: launches the same kernels on the same memory every time. Its result, tensors or a
            collection of them, is valid until the next call.
        optimizer: the one whose steps the call takes.
        device: where that runs.

    A call that cannot be recorded is logged once, and stays as it is.
    """
    make = GRAPHS.get(device.type)
    return call if make is None else _Graphed(call, optimizer, make(device))


class _Graphed(Generic[T]):
    result: T

    def __init__(
        self, call: Callable[[], T], optimizer: torch.optim.Optimizer, graph: Graph
    ) -> None:
        self.call, self.optimizer = call, optimizer
        self.graph: Graph | None = graph
        self.calls = 0

    def __call__(self) -> T:
        self.calls += 1
        if self.graph is not None and self.calls <= WARM_UP:
            return self.graph.eager(self.call)
        if self.graph is not None and self.calls == WARM_UP + 1:
            self.record(self.graph)
        if self.graph is None:
            return self.call()
        self.graph.replay()
        return self.result

    def record(self, graph: Graph) -> None:
        try:
            with _capturable(self.optimizer):
                self.result = graph.record(self.call)
        except RuntimeError as error:
            log.warning("CUDA graph: %s; kernels are launched one by one", error)
            self.graph = None


@contextmanager
def _capturable(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """In the block steps may be recorded. (Outside, torch warns of the setting.)"""
    groups = [group for group in optimizer.param_groups if "capturable" in group]
    try:
        for group in groups:
            group["capturable"] = True
        yield
    finally:
        for group in groups:
            group["capturable"] = False
