"""The one exception for what a user can mend: bad input or a bad setting."""

from collections.abc import Callable, Sequence
from typing import Any


class InputError(ValueError):
    """Names the file, key or argument, what was expected and what was found.

    The command line prints it in one line and exits with status 2.
    """


def check_choice(argument: str, value: Any, allowed: Sequence[str]) -> None:
    """Raises an InputError unless `value` is one of `allowed`."""
    if value not in allowed:
        choices = ", ".join(allowed[:-1])
        either = f"{choices} or {allowed[-1]}" if choices else allowed[-1]
        raise InputError(f"{argument}: expected {either}, found {value!r}")


def check_number(argument: str, value: Any, expected: str, fits: Callable[[Any], bool]) -> None:
    """Raises an InputError unless `value` is a number that fits; text and several are none."""
    try:
        fine = bool(fits(value))
    except (TypeError, ValueError, RuntimeError):
        fine = False
    if not fine:
        raise InputError(f"{argument}: expected {expected}, found {value!r}")


def check_shape(argument: str, tensor: Any, expected: Sequence[int | str]) -> None:
    """Raises an InputError unless the shape fits; a letter in `expected` stands for any length."""
    shape = list(tensor.shape)
    fits = len(shape) == len(expected) and all(
        isinstance(e, str) or e == s for e, s in zip(expected, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(map(str, expected))
        raise InputError(f"{argument}: expected shape [{wanted}], found {shape}")


def one_line(text: str) -> str:
    """The text with what ends lines or moves cursors escaped: files may hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
