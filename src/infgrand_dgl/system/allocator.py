"""glibc's malloc while a model trains or is timed on the CPU: freed memory is kept for later.

By default a large tensor is mapped when made and unmapped when freed, so that every training step
meets fresh pages, each of which the kernel clears: half of the time of a step on a large graph.
Kept memory comes in pieces that do not fit every tensor: the peak is up to twice as high.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # of mallopt (malloc.h)
DEFAULTS = {TRIM_THRESHOLD: 128 << 10, MMAP_MAX: 1 << 16}
_blocks = 0  # that are open


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """In the block, for the whole process; a C library other than glibc is left as it is."""
    global _blocks
    _blocks += 1
    _set({TRIM_THRESHOLD: -1, MMAP_MAX: 0})
    try:
        yield
    finally:
        _blocks -= 1
        if not _blocks:
            _set(DEFAULTS)
            return_freed_memory()


def return_freed_memory() -> None:
    """What is free now goes back to the system."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _set(options: dict[int, int]) -> None:
    with suppress(AttributeError):
        for option, value in options.items():
            ctypes.CDLL(None).mallopt(option, value)
