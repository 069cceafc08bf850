"""Reading what somebody else may have written: every failure is one clear error."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Foreign formats fail in many ways: here all become one InputError, `path` is not `what`."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Exception as error:
        raise InputError(f"{path}: not {what} ({reason(error)})") from None


@contextmanager
def no_questions() -> Iterator[None]:
    """In the block standard input is at its end: a library that asks there gets an EOFError."""
    before = sys.stdin
    with Path(os.devnull).open() as sys.stdin:
        try:
            yield
        finally:
            sys.stdin = before


def reason(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    first, *_ = [*str(error).strip().splitlines(), ""]
    return f"{type(error).__name__}: {first[:160]}"
