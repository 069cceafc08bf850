"""Changes of several files that are made all or none, whenever a process ends: a redo log.

New rows of arrays are in a record; files that are new as a whole lie beside it. The record gets its
name when all is on the disk: before, nothing has changed; afterwards `redo` makes the changes, as
often as it takes, each time the same. However a process ends, that holds. (Where a machine loses
power, rows that were written in place during the last half minute may be lost.) In `folder/redo`:

    record.npz      what is to be done; ids and rows of arrays
    0, 1, ...       files that take the places of others
"""

import fcntl
import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .reading import reading

LOG, RECORD = "redo", "record.npz"


class Changes:
    """What is to be done to files of `root`; `commit` decides that it is.

    Args:
        folder: has the log; on the file system of `root`.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.log = root, folder / LOG
        shutil.rmtree(self.log, ignore_errors=True)  # of a process that ended before its record
        self.log.mkdir()
        self.steps: list[dict[str, Any]] = []
        self.arrays: dict[str, np.ndarray] = {}

    def file(self, name: str) -> Path:
        """Where to write what is to be `name`."""
        path = self.log / str(len(self.steps))
        self.steps.append({"do": "move", "file": name, "from": path.name})
        return path

    def text(self, name: str, text: str) -> None:
        self.file(name).write_text(text)

    def array(self, name: str, values: np.ndarray) -> None:
        with self.file(name).open("wb") as file:
            np.save(file, values)

    def rows(self, name: str, ids: np.ndarray, values: np.ndarray, length: int) -> None:
        """Of a .npy file, which is to have so many rows. Where most are new it is written anew, and
        who has it open keeps what is there."""
        if not len(ids):
            return
        if 2 * len(ids) > length:
            path = self.file(name)
            shutil.copyfile(self.root / name, path)
            _put(path, ids, values, length)
            return
        number = len(self.steps)
        self.steps.append({"do": "rows", "file": name, "number": number, "length": length})
        self.arrays |= {f"{number}.ids": ids, f"{number}.rows": values}

    def line(self, name: str, line: str) -> None:
        """At the end of a text."""
        path = self.root / name
        size = path.stat().st_size if path.exists() else 0
        self.steps.append({"do": "line", "file": name, "at": size, "text": f"{line}\n"})

    def commit(self) -> None:
        record = self.log / RECORD
        partial = record.with_suffix(".partial")
        self.arrays["steps"] = np.frombuffer(json.dumps(self.steps).encode(), np.uint8)
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **self.arrays)
        for path in self.log.iterdir():
            _on_disk(path)
        partial.replace(record)
        _on_disk(self.log)


def redo(root: Path, folder: Path) -> None:
    """Makes the changes of a record, if there is one; then it is gone.

    Raises:
        InputError: the record is damaged.
    """
    log = folder / LOG
    record = log / RECORD
    if not record.is_file():
        return
    with reading(record, "a record of changes"):
        content = np.load(record)
        steps = json.loads(content["steps"].tobytes())
    with content:
        for step in steps:
            path, do = root / step["file"], step["do"]
            if do == "rows":
                number = step["number"]
                ids, rows = content[f"{number}.ids"], content[f"{number}.rows"]
                _owned(path, log)
                _put(path, ids, rows, step["length"])
            elif do == "line":
                if path.exists():
                    _owned(path, log)
                with path.open("ab") as file:
                    file.truncate(step["at"])
                    file.write(step["text"].encode())
                _on_disk(path)
            elif (log / step["from"]).exists():
                (log / step["from"]).replace(path)
                _on_disk(path.parent)
    record.unlink()
    shutil.rmtree(log)


def is_pending(folder: Path) -> bool:
    """Whether a record waits for `redo`."""
    return (folder / LOG / RECORD).is_file()


@contextmanager
def alone(folder: Path, what: str, wait: bool = False) -> Iterator[None]:
    """No two processes are in such a block of one folder.

    Raises:
        InputError: another is, and `wait` is not given; starts with `what`.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise InputError(f"{what}: another process is changing it") from None
        yield
    finally:
        os.close(lock)


def _put(path: Path, ids: np.ndarray, values: np.ndarray, length: int) -> None:
    """Rows of a .npy file, which becomes so long first."""
    array = np.lib.format.open_memmap(path, mode="r+")
    if len(array) < length:
        shape = (length, *array.shape[1:])
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": array.dtype.str, "fortran_order": False, "shape": shape}
        )
        if len(header.getvalue()) != array.offset:
            raise RuntimeError(f"{path}: no room for more rows in its header")
        size = array.offset + array.itemsize * int(np.prod(shape))
        del array
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)  # before the header says so
            file.write(header.getvalue())
        array = np.lib.format.open_memmap(path, mode="r+")
    array[ids] = values


def _owned(path: Path, log: Path) -> None:
    """A file of one name: others (`train --overwrite` links a run's) keep what is there."""
    if path.stat().st_nlink > 1:
        copy = log / "copy"
        shutil.copyfile(path, copy)
        copy.replace(path)


def _on_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
