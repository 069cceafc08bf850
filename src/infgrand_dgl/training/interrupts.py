"""SIGINT and SIGTERM, which wait for the end of an epoch."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Interrupted(KeyboardInterrupt):
    """Of SIGINT. A plain KeyboardInterrupt that has passed through `exec` of a string makes Python
    end by the signal, whatever the exit status."""


@contextmanager
def interruptible() -> Iterator[Callable[[], int]]:
    """In the block the first SIGINT or SIGTERM only sets what the yielded function returns.

    The second one acts as it did before: nobody waits for the end of a long epoch who does not
    want to. The first one acts at the end of the block, if that has not heeded it.
    """
    received = 0
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: Any) -> None:
        nonlocal received
        received = number
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield lambda: received
    finally:
        restore()
    obey(received)  # which came after the block looked last


def obey(number: int) -> None:
    """Ends the process as a signal would; 0 is none.

    Raises:
        Interrupted, SystemExit: on SIGINT, on SIGTERM.
    """
    if number == signal.SIGINT:
        raise Interrupted
    if number:
        sys.exit(128 + number)
