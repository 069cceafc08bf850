"""Reading what somebody else may have written: every failure is one clear error."""

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


def reason(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    first, *_ = [*str(error).strip().splitlines(), ""]
    return f"{type(error).__name__}: {first[:160]}"
