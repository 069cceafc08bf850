"""Streams that do late what they were given: a copy that nobody waited for has not happened."""

import threading
from collections import deque
from typing import Any

import torch

from infgrand_dgl.propagation import equation, streamed
from infgrand_dgl.system import transfer


class FakeStream:
    """What was given is done when an event of it is waited for, in order."""

    def __init__(self) -> None:
        self.todo: deque[Any] = deque()
        self.given = self.done = 0
        self.device = "cuda:0"
        self.lock = threading.RLock()

    def give(self, call) -> int:
        with self.lock:
            self.todo.append(call)
            self.given += 1
            return self.given

    def run(self, count: int | None = None) -> None:
        with self.lock:
            while self.done < (self.given if count is None else count):
                self.done += 1
                self.todo.popleft()()

    def wait_event(self, event) -> None:
        event.synchronize()  # kernels of the CPU are not late


class FakeEvent:
    def __init__(self, blocking: bool = False) -> None:
        self.at: tuple[FakeStream, int] | None = None

    def record(self, stream=None) -> None:
        stream = stream or FakeGpu.current()
        self.at = stream, stream.given

    def synchronize(self) -> None:
        if self.at is not None:
            self.at[0].run(self.at[1])

    wait = synchronize


class FakeGpu:
    """Makes the CPU pass for a GPU in `transfer` and in who uses it."""

    local = threading.local()
    main = FakeStream()

    @classmethod
    def current(cls, device=None) -> FakeStream:
        return getattr(cls.local, "stream", cls.main)

    @classmethod
    def set_stream(cls, stream: FakeStream) -> None:
        cls.local.stream = stream

    def __init__(self, monkeypatch) -> None:
        type(self).main = FakeStream()
        self.side = FakeStream()
        self.recorded: set[int] = set()
        self.pinned: list[int] = []
        copy, propagate = torch.Tensor.copy_, equation.propagate

        def copy_(target, source, non_blocking=False):
            if not non_blocking:
                return copy(target, source)
            self.current().give(lambda: copy(target, source))
            return target

        def pinned(size):
            self.pinned.append(size)
            return torch.empty(size, dtype=torch.uint8)

        def launched(*arguments, **settings):
            self.current().run()  # a kernel comes after the copies of its stream
            return propagate(*arguments, **settings)

        def record_stream(tensor, stream):
            assert stream is self.main
            self.recorded.add(id(tensor))

        for module in (transfer, streamed):
            monkeypatch.setattr(module, "is_gpu", lambda device: True)
        monkeypatch.setattr(transfer, "_second_stream", lambda index: self.side)
        monkeypatch.setattr(equation, "propagate", launched)
        monkeypatch.setattr(transfer, "pinned", pinned)
        monkeypatch.setattr(torch.Tensor, "copy_", copy_)
        monkeypatch.setattr(torch.Tensor, "record_stream", record_stream)
        monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "current_stream", self.current)
        monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
        monkeypatch.setattr(torch.cuda, "set_stream", self.set_stream)
