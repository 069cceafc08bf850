"""Micro-batches: requests that wait for the model together are asked together."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

import numpy as np

from ..answers import Ask

Answered = dict[str, np.ndarray]
QUICK = 1e-3  # seconds that the event loop may be kept from other requests


@dataclass(eq=False)
class Waiting:
    """
    Args:
        rows: makes them, `[count, width]`.
        waits: for its turn.
    """

    count: int
    rows: Callable[[], np.ndarray]
    answer: "asyncio.Future[Answered]"
    waits: bool = True


class Batcher:
    """Asks a model.

    Nobody waits for company: what has come when the event loop has read all that is there is asked
    together, and what comes while the model is at work next. So one client has the shortest time,
    and many have the largest batches. Few rows are asked on the spot, which is quicker than to wake
    a thread.

    Args:
        most: rows that are asked together; no request has more.
        waiting: rows that may wait.
        quick: rows that are asked on the spot (`quick_rows`).
        on_batch: told how many rows each batch has.
    """

    def __init__(
        self,
        ask: Ask,
        most: int,
        waiting: int,
        quick: int = 0,
        on_batch: Callable[[int], object] = lambda rows: None,
    ) -> None:
        self.ask, self.most, self.limit, self.quick = ask, most, waiting, quick
        self.on_batch = on_batch
        self.queue: deque[Waiting] = deque()
        self.waiting, self.called = 0, False
        self.thread = ThreadPoolExecutor(1, "model")

    async def __call__(self, count: int, rows: Callable[[], np.ndarray]) -> Answered:
        """
        Args:
            count: n.
            rows: makes them, `[n, width]`; called by one thread at a time.

        Raises:
            asyncio.QueueFull: with them more rows than may would wait.
        """
        if self.waiting and self.waiting + count > self.limit:
            raise asyncio.QueueFull
        loop = asyncio.get_running_loop()
        each = Waiting(count, rows, loop.create_future())
        self.queue.append(each)
        self.waiting += count
        if not self.called:
            self.called = True
            loop.call_soon(self._next)
        try:
            return await each.answer
        finally:
            self._leaves(each)  # also where it was cancelled

    def _leaves(self, each: Waiting) -> None:
        self.waiting -= each.count * each.waits
        each.waits = False

    def close(self) -> None:
        self.thread.shutdown()

    def _next(self) -> None:
        batch: list[Waiting] = []
        count = 0
        while self.queue and count + self.queue[0].count <= self.most:
            each = self.queue.popleft()
            self._leaves(each)
            if not each.answer.done():  # it may have been cancelled
                batch.append(each)
                count += each.count
        self.called = bool(batch)
        if not batch:
            return
        self.on_batch(count)
        loop, asked = asyncio.get_running_loop(), partial(self._asked, batch)
        if count <= self.quick:
            self._tell(batch, asked())
            loop.call_soon(self._next)
        else:
            done = loop.run_in_executor(self.thread, asked)
            done.add_done_callback(partial(self._after, batch))

    def _after(
        self, batch: Sequence[Waiting], done: "asyncio.Future[list[Answered] | Exception]"
    ) -> None:
        self._next()
        self._tell(batch, done.result())

    def _asked(self, batch: Sequence[Waiting]) -> list[Answered] | Exception:
        try:
            parts = [each.rows() for each in batch]
            said = self.ask(parts[0] if len(parts) == 1 else np.concatenate(parts))
        except Exception as error:
            return error
        ends = list(accumulate(each.count for each in batch))
        return [
            {name: values[end - each.count : end] for name, values in said.items()}
            for each, end in zip(batch, ends, strict=True)
        ]

    def _tell(self, batch: Sequence[Waiting], said: list[Answered] | Exception) -> None:
        for place, each in enumerate(batch):
            if each.answer.done():
                continue
            if isinstance(said, Exception):
                each.answer.set_exception(said)
            else:
                each.answer.set_result(said[place])


def quick_rows(ask: Ask, row: np.ndarray, most: int) -> int:
    """The most rows, a power of two or 0, about which a model is asked within `QUICK`.

    Args:
        row: one, `[1, width]`.
    """
    found, rows = 0, 1
    while rows <= most:
        x = np.repeat(row, rows, axis=0)
        ask(x)  # the first time takes longer
        start = time.perf_counter()
        ask(x)
        if time.perf_counter() - start > QUICK:
            break
        found, rows = rows, 2 * rows
    return found
