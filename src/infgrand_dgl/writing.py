"""Writing files: whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from torch import Tensor

from .errors import InputError


@contextmanager
def writing(path: Path, argument: str = "--out") -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well.

    Raises:
        InputError: `path` is a folder or a device, or cannot be written (a full disk, too).
    """
    with explained(path, argument):
        target = path.resolve()  # a link keeps pointing where it did
        if target.exists() and not target.is_file():
            raise InputError(f"{argument} {path}: expected the name of a file, found another kind")
        with parents(target, path, argument):
            handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)
            os.close(handle)
            partial = Path(name)
            try:
                yield partial
                partial.chmod(0o666 & ~umask())
                partial.replace(target)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise


@contextmanager
def explained(path: Path, argument: str) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{argument} {path}: cannot be written ({reason})") from None


@contextmanager
def parents(target: Path, path: Path, argument: str = "--out") -> Iterator[None]:
    """Makes the folders above `target`; those that it made go again if the block fails."""
    with explained(path, argument):
        missing = [folder for folder in target.parents if not folder.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in missing:
            with suppress(OSError):  # not empty
                folder.rmdir()
        raise


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


class _Probe(Exception):  # noqa: N818
    """Ends a `writing` that only asks whether it could."""


def check_writable(path: Path, argument: str = "--out") -> None:
    """Fails before hours of work rather than after them."""
    with suppress(_Probe), writing(path, argument):
        raise _Probe


def save_array(path: Path, array: Tensor | np.ndarray) -> None:
    values = array.detach().cpu().numpy() if isinstance(array, Tensor) else array
    with writing(path) as partial, partial.open("wb") as file:
        np.save(file, values)
