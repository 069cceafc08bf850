"""The format of prepared datasets: a folder of arrays that stay on the disk until they are used.

    manifest.json             counts, arrays (file, dtype, shape, bytes, crc32), the `data` section
    indptr.npy, indices.npy   int64 [N + 1], int32 [E]: both directions and a self-loop per node
    weights.npy               float32 [E], where edges have weights; 1 in self-loops
    features.npy              float32, float16, or bfloat16 kept as uint16; [N, D]
    labels.npy                int64 [N], -1 for none; of other tasks float32 [N, C], NaN for none
    train.npy, val.npy, test.npy   int64 ids, where the dataset comes with a split; of several
                              train_0.npy, val_0.npy, test_0.npy, train_1.npy and so on

The checksums are of the arrays' bytes, headers left out.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..present.console import Reporter
from ..system.arrays import first_not_finite, map_array
from ..system.reading import reading
from ..system.writing import FolderKind
from .dataset import PARTS, Split

FORMAT = 1
MANIFEST = "manifest.json"
FOLDER = FolderKind("prepared dataset", MANIFEST, r"(manifest\.json|\w+\.npy)")
STORED = {"float32": "float32", "float16": "float16", "bfloat16": "uint16"}  # as NumPy has them
BLOCK_BYTES = 1 << 24  # written and read at a time


class Store:
    """A prepared folder while it is written: every array as one file, appended block by block."""

    def __init__(self, folder: Path, dtype: str, report: Reporter) -> None:
        self.folder, self.dtype, self.report = folder, dtype, report
        self.arrays: dict[str, dict[str, Any]] = {}

    @contextmanager
    def array(self, name: str, dtype: str, *shape: int) -> Iterator[ArrayFile]:
        """A file to append to; it enters the manifest when the block ends."""
        path = self.folder / f"{name}.npy"
        with path.open("wb") as file:
            array = ArrayFile(file, np.dtype(dtype), shape)
            yield array
            array.write_header()
        self.arrays[name] = {
            "file": path.name,
            "dtype": dtype,
            "shape": list(array.shape),
            "bytes": path.stat().st_size,
            "crc32": f"{array.checksum:08x}",
        }

    def put(self, name: str, values: Tensor) -> None:
        """An array `[N, ...]`."""
        width = values.element_size() * math.prod(values.shape[1:])
        with self.array(name, str(values.numpy().dtype), *values.shape) as array:
            for block in values.split(max(1, BLOCK_BYTES // width)):
                array.append(block.numpy())

    def split(self, split: Split, suffix: str = "") -> None:
        for part in PARTS:
            self.put(f"{part}{suffix}", getattr(split, part))

    def features(self, blocks: Iterable[Tensor], nodes: int, width: int) -> None:
        """`features.npy` out of blocks of rows, in the dtype of the folder."""
        dtype = getattr(torch, self.dtype)
        done = 0
        with (
            self.report.timed("features", nodes) as bar,
            self.array("features", STORED[self.dtype], 0, width) as array,
        ):
            for rows in blocks:
                kept = rows.to(dtype)
                summed = kept.sum(dtype=torch.float32)  # finite, if all are, but for an overflow
                if not summed.isfinite() and (row := first_not_finite(kept)) is not None:
                    raise InputError(
                        f"--dtype {self.dtype}: expected features within it, found an overflow "
                        f"in row {done + row}; bfloat16 reaches as far as float32"
                    )
                array.append((kept.view(torch.uint16) if dtype == torch.bfloat16 else kept).numpy())
                done += len(rows)
                bar.update(done)
        self.arrays["features"]["dtype"] = self.dtype

    def write_manifest(self, counts: dict[str, Any], data: dict[str, Any]) -> None:
        """Comes last: a folder without it is no prepared dataset.

        Args:
            counts: and name, provenance of the dataset.
            data: the section of the configuration.
        """
        manifest = {"format": FORMAT, **counts, "arrays": self.arrays, "data": data}
        text = json.dumps(manifest, indent=2, default=str)
        (self.folder / MANIFEST).write_text(text + "\n")


class ArrayFile:
    """A .npy file of rows whose number is known when it is closed, and its checksum."""

    def __init__(self, file: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self.file, self.dtype, self.shape = file, dtype, (0, *shape[1:])
        self.checksum = 0
        self.write_header()

    def append(self, rows: np.ndarray) -> None:
        data = np.ascontiguousarray(rows, dtype=self.dtype).data.cast("B")
        self.checksum = zlib.crc32(data, self.checksum)
        self.file.write(data)
        self.shape = (self.shape[0] + len(rows), *self.shape[1:])

    def write_header(self) -> None:
        """At the start; NumPy leaves room for any number of rows."""
        self.file.seek(0)
        np.lib.format.write_array_header_1_0(
            self.file,
            {"descr": self.dtype.str, "fortran_order": False, "shape": self.shape},
        )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Raises an InputError unless `folder` is a prepared one, of this format."""
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder}: expected a folder made by `infgrand-dgl data prepare`")
    with reading(path, "a manifest written by data prepare"):
        manifest = json.loads(path.read_text())
        if manifest["format"] != FORMAT:
            raise InputError(f"{path}: expected format {FORMAT}, found {manifest['format']}")
        for key in ("name", "nodes", "edges", "features", "classes", "data", "provenance"):
            manifest[key]
        for entry in manifest["arrays"].values():
            entry["crc32"], entry["bytes"], entry["dtype"], entry["shape"], entry["file"]
    return manifest


def open_array(folder: Path, entry: dict[str, Any]) -> Tensor:
    """The mapped array of a manifest's entry, whose file is as long as it says."""
    path = folder / entry["file"]
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    size = path.stat().st_size
    if size != entry["bytes"]:
        raise InputError(f"{path}: expected {entry['bytes']} bytes, found {size}")
    array = map_array(path)
    stored = STORED.get(entry["dtype"], entry["dtype"])
    dtype, shape = str(array.numpy().dtype), list(array.shape)
    if [dtype, shape] != [stored, entry["shape"]] or not array.is_contiguous():
        raise InputError(f"{path}: expected {stored} {entry['shape']}, found {dtype} {shape}")
    return array.view(torch.bfloat16) if entry["dtype"] == "bfloat16" else array


def verify(folder: Path, report: Reporter | None = None) -> None:
    """Reads every array and compares its checksum.

    Raises:
        InputError: names the first file that is not as it was written.
    """
    report = report or Reporter(quiet=True)
    manifest = read_manifest(folder)
    for entry in manifest["arrays"].values():
        open_array(folder, entry)
        path = folder / entry["file"]
        stored = np.dtype(STORED.get(entry["dtype"], entry["dtype"]))
        size = math.prod(entry["shape"]) * stored.itemsize
        with report.timed(entry["file"], size >> 20) as bar, path.open("rb") as file:
            file.seek(entry["bytes"] - size)
            checksum = done = 0
            while block := file.read(BLOCK_BYTES):
                checksum = zlib.crc32(block, checksum)
                bar.update((done := done + len(block)) >> 20)
        if f"{checksum:08x}" != entry["crc32"]:
            raise InputError(
                f"{path}: damaged: expected checksum {entry['crc32']}, found {checksum:08x}"
            )
