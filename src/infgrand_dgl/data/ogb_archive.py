"""ogbn-papers100M from OGB's raw archive into a prepared folder, part by part.

OGB's own loader holds the whole of it in memory, several times over. The archive's arrays are .npy
files in a zip: here they are read as streams.
"""

import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config.schema import DataConfig
from ..errors import InputError
from ..present.console import Reporter
from ..system.reading import reading
from .bucketed import write_rows
from .dataset import UNLABELLED, Split
from .ogb_files import read_binary_labels, read_ids
from .store import Store

ARCHIVE = "ogbn_papers100M/raw/data.npz"
CLASSES = 172  # of arXiv papers, by OGB
BLOCK_ROWS = 1 << 16  # of features at a time


def streamed(config: DataConfig, root: Path) -> bool:
    """Whether the archive is there; else OGB's loader is asked, which downloads it."""
    return (root / ARCHIVE).exists()


def write(config: DataConfig, root: Path, store: Store, report: Reporter) -> dict[str, Any]:
    """Writes graph, features, labels and OGB's split; returns the counts of the manifest.

    Raises:
        InputError: a file is missing or not OGB's, or a node id is out of range.
    """
    path = root / ARCHIVE
    folder = path.parents[1]
    with reading(path, "OGB's archive of this set"), zipfile.ZipFile(path) as archive:
        nodes, edges = (
            int(Stream(archive, f"num_{kind}_list").read(1)[0]) for kind in ("nodes", "edges")
        )
        total = write_rows(partial(_keys, archive, path, nodes), nodes, edges, store, report)
        labels = read_binary_labels(path.parent)
        if len(labels) != nodes:
            raise InputError(f"{path}: {nodes} nodes, but node-label.npz has {len(labels)}")
        whole = np.where(np.isnan(labels), UNLABELLED, labels).astype(np.int64)
        store.put("labels", torch.from_numpy(whole))
        split = folder / "split/time"
        ids = (read_ids(split / f"{part}.csv.gz") for part in ("train", "valid", "test"))
        store.split(Split(*map(torch.from_numpy, ids)))
        features = Stream(archive, "node_feat")
        store.features(_rows(features), nodes, features.shape[1])
    return {
        "name": config.name,
        "nodes": nodes,
        "edges": total,
        "features": features.shape[1],
        "classes": CLASSES,
        "provenance": {"source": "ogb", "files": str(folder), "split": "official"},
    }


class Stream:
    """An array of a .npz file, read from its begin to its end."""

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        self.file = archive.open(f"{name}.npy")
        version = np.lib.format.read_magic(self.file)
        header: Any = np.lib.format.read_array_header_1_0
        if version[0] > 1:
            header = np.lib.format.read_array_header_2_0
        self.shape, self.transposed, self.dtype = header(self.file)

    def read(self, count: int) -> np.ndarray:
        """The next numbers, fewer at the end."""
        return np.frombuffer(self.file.read(count * self.dtype.itemsize), self.dtype)

    def skip(self, count: int) -> None:
        self.file.seek(count * self.dtype.itemsize, 1)


def _keys(
    archive: zipfile.ZipFile,
    path: Path,
    nodes: int,
    size: int,
    progress: Callable[[int], None],
) -> Iterator[np.ndarray]:
    """low·N + high of all edges, in parts."""
    sources = Stream(archive, "edge_index")
    count = sources.shape[1]
    pairs: Iterable[tuple[np.ndarray, np.ndarray]]
    if sources.transposed:  # source and target of an edge lie side by side
        both = (sources.read(2 * size).reshape(-1, 2) for _ in range(0, count, size))
        pairs = ((edges[:, 0], edges[:, 1]) for edges in both)
    else:
        targets = Stream(archive, "edge_index")
        targets.skip(count)
        lengths = (min(size, count - done) for done in range(0, count, size))
        pairs = ((sources.read(n), targets.read(n)) for n in lengths)
    done = 0
    for source, target in pairs:
        low, high = np.minimum(source, target), np.maximum(source, target)
        if low.min() < 0 or high.max() >= nodes:
            wrong = low.min() if low.min() < 0 else high.max()
            raise InputError(f"{path}: expected node ids 0 to {nodes - 1}, found {wrong}")
        yield low * nodes + high
        progress(done := done + len(low))


def _rows(features: Stream) -> Iterator[Tensor]:
    width = features.shape[1]
    for _ in range(0, features.shape[0], BLOCK_ROWS):
        rows = features.read(BLOCK_ROWS * width).reshape(-1, width)
        yield torch.from_numpy(rows.astype(np.float32))
