"""Writing files: whole or not at all."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError
from torch import Tensor

from ..errors import InputError


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


class FolderKind(NamedTuple):
    """What `--overwrite` may replace: a folder with `marker`, all in it matching `contents`."""

    noun: str
    marker: str
    contents: str


@contextmanager
def new_folder(out: Path, overwrite: bool, kind: FolderKind) -> Iterator[Path]:
    """A folder to fill; it appears as `out` when the block ends well, or not at all.

    Raises:
        InputError: `out` holds something and `overwrite` is not given (or what it holds is more
            than such a folder), or cannot be written. Where something has come to `out` in the
            meantime, the new folder stays beside it, and the message says where.
    """
    with explained(out, "--out"):
        target = out.resolve()
        replaces = check_folder(out, target, overwrite, kind)
    with parents(target, out):
        with explained(out, "--out"):
            partial = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", dir=target.parent))
        try:
            yield partial
            partial.chmod(0o777 & ~umask())
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        put_folder(partial, target, out, replaces, kind)


def check_folder(out: Path, target: Path, overwrite: bool, kind: FolderKind) -> bool:
    """Whether such a folder is there to be replaced."""
    if not target.exists():
        return False
    if not target.is_dir():
        raise InputError(f"--out {out}: expected a folder, found a file")
    if target.is_mount():
        raise InputError(f"--out {out}: is a mount point; name a folder inside it")
    names = [path.name for path in target.iterdir()]
    if not names:
        return False
    if not overwrite:
        raise InputError(f"--out {out}: exists and is not empty; --overwrite replaces it")
    if kind.marker not in names:
        raise InputError(f"--out {out}: --overwrite replaces a {kind.noun}, and this is none")
    foreign = [name for name in names if not re.fullmatch(kind.contents, name)]
    if foreign:
        raise InputError(
            f"--out {out}: --overwrite would delete {foreign[0]}, no part of a {kind.noun}"
        )
    return True


def put_folder(partial: Path, target: Path, out: Path, replaces: bool, kind: FolderKind) -> None:
    """Renames a folder that is complete, and is not removed whatever happens."""
    try:
        if replaces and target.exists():
            previous = Path(tempfile.mkdtemp(prefix=".previous.", dir=target.parent))
            target.replace(previous)
            partial.replace(target)
            shutil.rmtree(previous)
        else:
            partial.replace(target)  # fails where something has appeared
    except OSError as error:
        raise InputError(
            f"--out {out}: cannot be put there ({error.strerror}); the {kind.noun} is whole, "
            f"and stays in {partial}"
        ) from None
