"""glibc's malloc for training on the CPU: memory that is freed is kept for the next tensor.

By default a large tensor is mapped when made and unmapped when freed, so that every training step
meets fresh pages, each of which the kernel clears: half of the time of a step on a large graph.
Kept memory comes in pieces that do not fit every tensor, so that the peak is up to twice as high.
"""

import ctypes
from contextlib import suppress

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # of mallopt (malloc.h)


def keep_freed_memory() -> None:
    """From now on, for the whole process; another C library is left as it is."""
    with suppress(AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(MMAP_MAX, 0)
        libc.mallopt(TRIM_THRESHOLD, -1)


def return_freed_memory() -> None:
    """What is free now goes back to the system."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
