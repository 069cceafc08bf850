"""Prepared datasets: a folder of arrays that open instantly, and stay on the disk until used.

    manifest.json             counts, arrays (file, dtype, shape, bytes, crc32), the `data` section
    indptr.npy, indices.npy   int64 [N + 1], int32 [E]: both directions and a self-loop per node
    features.npy              float32, float16, or bfloat16 kept as uint16; [N, D]
    labels.npy                int64 [N], -1 for none
    train.npy, val.npy, test.npy   int64 ids, where the dataset comes with a split

The checksums are of the arrays' bytes, headers left out.
"""

from __future__ import annotations

import hashlib
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

from ..config.schema import Config, DataConfig
from ..errors import InputError
from ..graph.csr import CSRGraph
from ..present.console import Reporter
from ..system.arrays import map_array
from ..system.reading import reading
from ..system.writing import FolderKind, new_folder
from . import default_root, load_source, ogb_archive, synthetic
from .dataset import NodeDataset, Split

FORMAT = 1
MANIFEST = "manifest.json"
FOLDER = FolderKind("prepared dataset", MANIFEST, r"(manifest\.json|\w+\.npy)")
PARTS = ("train", "val", "test")
STORED = {"float32": "float32", "float16": "float16", "bfloat16": "uint16"}  # as NumPy has them
# Settings that change nothing in the folder.
FREE = {"root", "prepared", "setting", "split_rate", "label_rate"}
BLOCK = 1 << 24  # bytes


def prepare(
    config: Config,
    out: Path,
    *,
    dtype: str = "float32",
    overwrite: bool = False,
    report: Reporter | None = None,
) -> None:
    """Writes the dataset of `config.data` to the folder `out`, which appears when it is whole.

    Args:
        dtype: of the features: float32, float16 or bfloat16.

    Raises:
        InputError: what loading the dataset raises; `out` holds something, and `overwrite` is
            not given or it is no prepared dataset; the disk is full; features that overflow.
    """
    report = report or Reporter(quiet=True)
    data = config.data.model_copy(update={"prepared": None})
    with new_folder(out, overwrite, FOLDER) as folder:
        root = Path(data.root) if data.root else default_root()
        store = Store(folder, dtype, report)
        try:
            if data.name == "synthetic" and synthetic.too_large(data):
                manifest = synthetic.write(data, store, report)
            elif data.name == "ogbn-papers100M" and ogb_archive.archive_of(root).exists():
                manifest = ogb_archive.write(root, store, report)
            else:
                with report.timed("loading"):
                    dataset = load_source(data)
                manifest = _write(dataset, store)
            manifest |= {"arrays": store.arrays, "data": data.model_dump()}
            text = json.dumps({"format": FORMAT, **manifest}, indent=2, default=str)
            (folder / MANIFEST).write_text(text + "\n")
        except OSError as error:
            raise InputError(f"--out {out}: cannot be written ({error.strerror})") from None


def _write(dataset: NodeDataset, store: Store) -> dict[str, Any]:
    store.put("indptr", dataset.csr.indptr)
    store.put("indices", dataset.csr.indices)
    store.put("labels", dataset.labels)
    if dataset.split is not None:
        store.split(dataset.split)
    blocks = (block for _, block in dataset.matrix.blocks())
    store.features(blocks, dataset.num_nodes, dataset.num_features)
    return {
        "name": dataset.name,
        "nodes": dataset.num_nodes,
        "edges": dataset.num_edges,
        "features": dataset.num_features,
        "classes": dataset.num_classes,
        "provenance": dataset.provenance,
    }


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
        array: Any
        with self.array(name, str(values.numpy().dtype)) as array:
            for block in values.split(BLOCK):
                array.append(block.numpy())

    def split(self, split: Split) -> None:
        for part in PARTS:
            self.put(part, getattr(split, part))

    def features(self, blocks: Iterable[Tensor], nodes: int, width: int) -> None:
        """`features.npy` out of blocks of rows, in the dtype of the folder."""
        array: Any
        dtype = getattr(torch, self.dtype)
        done = 0
        with (
            self.report.timed("features", nodes) as stage,
            self.array("features", STORED[self.dtype], 0, width) as array,
        ):
            for rows in blocks:
                kept = rows.to(dtype)
                if not kept.sum(dtype=torch.float32).isfinite() and not kept.isfinite().all():
                    row = done + int((~kept.isfinite()).any(dim=1).nonzero()[0])
                    raise InputError(
                        f"--dtype {self.dtype}: expected features within it, found an overflow "
                        f"in row {row}; bfloat16 reaches as far as float32"
                    )
                array.append((kept.view(torch.uint16) if dtype == torch.bfloat16 else kept).numpy())
                done += len(rows)
                stage.update(done)
        self.arrays["features"]["dtype"] = self.dtype


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


# Reading


def load(config: DataConfig, folder: Path) -> NodeDataset:
    """A prepared dataset; no array is read, only files and manifest are compared.

    Raises:
        InputError: no prepared folder, a file that does not fit the manifest, or a configuration
            that would make another dataset.
    """
    manifest = read_manifest(folder)
    made, wanted = manifest["data"], config.model_dump()
    for key in wanted:
        # A setting younger than the folder had its default.
        then = made.get(key, DataConfig.model_fields[key].default)
        if key not in FREE and then != wanted[key]:
            raise InputError(
                f"data.{key}: {folder} was prepared with {then!r}, found {wanted[key]!r}; "
                f"prepare it anew, or configure {then!r}"
            )
    arrays = {name: open_array(folder, entry) for name, entry in manifest["arrays"].items()}
    N, E, D = (manifest[key] for key in ("nodes", "edges", "features"))
    shapes = {"indptr": [N + 1], "indices": [E], "features": [N, D], "labels": [N]}
    for name, shape in shapes.items():
        if name not in arrays or list(arrays[name].shape) != shape:
            found = list(arrays[name].shape) if name in arrays else "none"
            raise InputError(f"{folder / MANIFEST}: {name}: expected shape {shape}, found {found}")
    split = Split(*(arrays[part] for part in PARTS)) if "train" in arrays else None
    return NodeDataset(
        name=manifest["name"],
        csr=CSRGraph(arrays["indptr"], arrays["indices"], N, symmetric=True),
        features=arrays["features"],
        labels=arrays["labels"],
        num_classes=manifest["classes"],
        split=split,
        provenance={**manifest["provenance"], "prepared": str(folder)},
        content=_content(manifest),
    )


def read_manifest(folder: Path) -> dict[str, Any]:
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
    found = [str(array.numpy().dtype), list(array.shape)]
    if found != [stored, entry["shape"]] or not array.is_contiguous():
        raise InputError(f"{path}: expected {stored} {entry['shape']}, found {found[0]} {found[1]}")
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
        with report.timed(entry["file"], size >> 20) as stage, path.open("rb") as file:
            file.seek(entry["bytes"] - size)
            checksum = done = 0
            while block := file.read(BLOCK):
                checksum = zlib.crc32(block, checksum)
                stage.update((done := done + len(block)) >> 20)
        if f"{checksum:08x}" != entry["crc32"]:
            raise InputError(
                f"{path}: damaged: expected checksum {entry['crc32']}, found {checksum:08x}"
            )


def _content(manifest: dict[str, Any]) -> str:
    arrays = {name: entry for name, entry in manifest["arrays"].items() if name not in PARTS}
    text = json.dumps([arrays, manifest["classes"]], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
