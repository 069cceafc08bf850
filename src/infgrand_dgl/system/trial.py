"""Libraries that end the process on damaged files, tried in a fork of it first."""

from __future__ import annotations

import faulthandler
import gc
import os
import resource
import signal
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .reading import reason


def failure(work: Callable[[], object], memory: int, seconds: float) -> str | None:
    """Why a call fails or ends the process; None: it does neither.

    Args:
        work: without threads: a fork has none.
        memory: bytes that it may take beside what is held.
        seconds: in which it ends; afterwards nothing is known of it, and None returned.
    """
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, from Python 3.12 on
        child = os.fork()
    if child == 0:
        os.close(read)
        _try(work, write, memory)
    os.close(write)
    status = None
    try:
        end = time.monotonic() + seconds
        while status is None and time.monotonic() < end:
            pid, found = os.waitpid(child, os.WNOHANG)
            status = found if pid else None
            time.sleep(0.002)
    finally:
        if status is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        with os.fdopen(read, encoding="utf-8", errors="replace") as file:
            told = file.read() if status is not None else ""
    if status is None or os.waitstatus_to_exitcode(status) in (-signal.SIGINT, -signal.SIGTERM):
        return None
    if os.waitstatus_to_exitcode(status) == 0:
        return told or None
    return "it ends the library that reads it"


def _try(work: Callable[[], object], write: int, memory: int) -> None:
    """In the fork, which ends here."""
    gc.freeze()  # what the parent holds is not looked through at the end
    try:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for file in (0, 1, 2):
            os.dup2(nowhere, file)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.disable()
        with suppress(OSError, ValueError):  # no /proc, or a lower limit
            held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            _, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (held + memory, hard))
        told = ""
        try:
            work()
        except Exception as error:
            told = reason(error)
        gc.collect()  # what was half made may not survive its end
        os.write(write, told.encode(errors="replace"))
        os._exit(0)
    finally:
        os._exit(1)
