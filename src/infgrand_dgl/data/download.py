"""Zip archives of datasets: downloaded and unpacked whole, or not at all."""

import logging
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from ..errors import InputError
from ..present.transfers import transfer
from ..system.reading import reason
from ..system.writing import umask

log = logging.getLogger(__name__)

TIMEOUT = 20, 30  # seconds until a connection stands, and between two pieces of an answer
PIECE_BYTES = 1 << 20


class BrokenArchive(Exception):  # noqa: N818
    """Not a zip file, or a part of one."""


def fetch(url: str, archive: Path, folder: Path, inner: str = "") -> None:
    """Makes `folder` of the archive that lies at `archive`, or is downloaded.

    What is at `archive` stays as it is; one that is not whole is named, and downloaded anew.

    Args:
        folder: does not exist, or is empty.
        inner: the folder of the archive that it is; "": all of it.

    Raises:
        requests.RequestException: no network, no answer in time, or one that broke off.
        InputError: the disk has no room, or what came is no whole archive.
    """
    if archive.is_file():
        try:
            unpack(archive, folder, inner)
            return
        except BrokenArchive as error:
            log.warning("%s: not a whole archive (%s); downloaded anew", archive, error)
    with downloaded(url, folder.parent) as new:
        try:
            unpack(new, folder, inner)
        except BrokenArchive as error:
            raise InputError(f"{url}: expected a zip archive, received none ({error})") from None


@contextmanager
def downloaded(url: str, folder: Path) -> Iterator[Path]:
    """What an address has, in a temporary file of a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".download.", dir=folder)
    os.close(handle)
    path = Path(name)
    try:
        with (
            path.open("wb") as file,
            transfer(f"Downloading {url} to {folder}") as so_far,
            requests.get(
                url, stream=True, timeout=TIMEOUT, headers={"Accept-Encoding": "identity"}
            ) as answer,
        ):
            answer.raise_for_status()
            total = int(answer.headers.get("Content-Length", 0))
            free = shutil.disk_usage(folder).free
            if total > free:
                raise InputError(f"{folder}: {url} takes {total:,} bytes, but {free:,} are free")
            for piece in answer.iter_content(PIECE_BYTES):
                file.write(piece)
                so_far(file.tell(), total or None)
            if total and file.tell() != total:
                raise requests.ConnectionError(f"{file.tell():,} of {total:,} bytes received")
        yield path
    finally:
        path.unlink(missing_ok=True)


def unpack(archive: Path, folder: Path, inner: str = "") -> None:
    """`folder` appears when all of the archive is in it.

    Raises:
        BrokenArchive: the archive is not whole, or has no folder `inner`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    unpacked = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with zipfile.ZipFile(archive) as content:
            members = content.infolist()
            total = sum(member.file_size for member in members)
            with transfer(f"Unpacking {archive}", total) as so_far:
                done = 0
                for member in members:
                    content.extract(member, unpacked)
                    so_far(done := done + member.file_size, total)
        found = unpacked / inner
        if not found.is_dir():
            raise BrokenArchive(f"no folder {inner} in it")
        found.chmod(0o777 & ~umask())
        found.replace(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise BrokenArchive(reason(error)) from None
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
