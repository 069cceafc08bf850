"""SIGINT and SIGTERM while a command runs."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..training.interrupts import obey

# torch aborts the process where an exception comes while it is imported: one waits until then.
IMPORT_SECONDS, LOOK_SECONDS = 15, 0.05


@contextmanager
def signals_end() -> Iterator[list[int]]:
    """In the block SIGINT and SIGTERM raise what leaves nothing half-written; yields which came.

    A SIGINT that is ignored, as in the background of a script, stays so.
    """
    received: list[int] = []
    latest = 0.0

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal latest
        if number != signal.SIGALRM:
            received.append(number)
            latest = time.monotonic() + IMPORT_SECONDS
        if _importing(frame) and time.monotonic() < latest:
            signal.setitimer(signal.ITIMER_REAL, LOOK_SECONDS)
        else:
            obey(received[-1])

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN or number == signal.SIGALRM:
            signal.signal(number, end)
    try:
        yield received
    finally:  # one that comes while Python shuts down just ends it
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
