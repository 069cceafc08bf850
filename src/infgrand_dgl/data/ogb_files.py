"""OGB's files: text, one .csv.gz an array, read in pieces and kept; or arrays in .npz."""

import gzip
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np
import pandas as pd

from ..errors import InputError
from ..present.transfers import transfer
from ..system.reading import reading, reason
from ..system.writing import writing

log = logging.getLogger(__name__)

PIECE_NUMBERS = 1 << 20  # read at a time; between two pieces a signal is heeded
KEPT_FROM_BYTES = 1 << 24  # of text files: smaller ones are read in no time
CACHE = "processed/infgrand-dgl.npz"
FILES = {
    "edges": "edge.csv",
    "features": "node-feat.csv",
    "labels": "node-label.csv",
    "nodes": "num-node-list.csv",
}


class Raw(NamedTuple):
    """A set as OGB has it.

    Args:
        edges: integers `[2, E]`, directed or not.
        features: float32 `[N, D]`; None: there are none, as in ogbn-proteins.
        labels: `[N]`, or of several a node `[N, C]`; NaN, if they are floats, where there is none.
    """

    edges: np.ndarray
    features: np.ndarray | None
    labels: np.ndarray


def read_kept(folder: Path) -> Raw:
    """The arrays of `folder/raw`; of the cache beside it, if that is whole and younger.

    Raises:
        InputError: as of `read_text`.
    """
    cache, paths = folder / CACHE, _paths(folder / "raw")
    cached = _cached(cache, paths)
    if cached is not None:
        return cached
    found = read_text(folder / "raw")
    if found.labels.ndim > 1:
        expected = "expected 1 columns (one label a row)"
        raise InputError(f"{paths['labels']}: {expected}, found {found.labels.shape[1]}")
    if found.features is None:
        return found
    if sum(path.stat().st_size for path in paths.values()) < KEPT_FROM_BYTES:
        return found
    try:
        with writing(cache) as partial, partial.open("wb") as file:
            np.savez(file, **found._asdict())
    except InputError as error:
        log.info("not kept for the next time: %s", error)
    return found


def read_text(raw: Path) -> Raw:
    """
    Raises:
        InputError: a file is missing, not whole, or not OGB's.
    """
    paths = _paths(raw)
    (nodes,) = _integers(paths["nodes"], "one count of nodes", (1, 1))[0]
    edges = _integers(paths["edges"], "two node ids a row", (None, 2)).T
    if edges.size and (edges.min() < 0 or edges.max() >= nodes):
        wrong = edges.min() if edges.min() < 0 else edges.max()
        raise InputError(f"{paths['edges']}: expected node ids 0 to {nodes - 1}, found {wrong}")
    features = None
    if paths["features"].exists():
        features = _numbers(paths["features"], "numbers", (nodes, None), np.float32)
    return Raw(edges, features, _alone(_numbers(paths["labels"], "labels", (nodes, None))))


def read_binary(raw: Path) -> Raw:
    """Of the largest sets, whose arrays are in data.npz and node-label.npz.

    Raises:
        InputError: likewise.
    """
    path = raw / "data.npz"
    with reading(path, "OGB's archive of this set"), np.load(path) as data:
        edges, labels = data["edge_index"], read_binary_labels(raw)
        if edges.min() < 0 or edges.max() >= len(labels):
            wrong = edges.min() if edges.min() < 0 else edges.max()
            raise ValueError(f"expected node ids 0 to {len(labels) - 1}, found {wrong}")
        features = data.get("node_feat")
        return Raw(
            edges, None if features is None else features.astype(np.float32, copy=False), labels
        )


def read_binary_labels(raw: Path) -> np.ndarray:
    """`[N]` or `[N, C]`, NaN where there is none."""
    path = raw / "node-label.npz"
    with reading(path, "OGB's labels"), np.load(path) as data:
        return _alone(data["node_label"])


def _alone(labels: np.ndarray) -> np.ndarray:
    """`[N]` of one column."""
    return labels[:, 0] if labels.shape[1:] == (1,) else labels


def _paths(raw: Path) -> dict[str, Path]:
    """The text files; compressed, as OGB's are, or as people write their own."""
    return {name: with_ending(raw / file) for name, file in FILES.items()}


def with_ending(path: Path) -> Path:
    """A .csv that is there, else its .csv.gz."""
    return path if path.exists() else path.with_name(f"{path.name}.gz")


def read_ids(path: Path) -> np.ndarray:
    """One id a row: int64 `[n]`."""
    return _integers(path, "one node id a row", (None, 1)).reshape(-1)


def read_weights(path: Path, num_edges: int) -> np.ndarray:
    """One number a row: `[E]`."""
    return _numbers(path, "one weight an edge", (num_edges, 1)).reshape(-1)


def _cached(cache: Path, paths: dict[str, Path]) -> Raw | None:
    if not cache.is_file():
        return None
    written = [path.stat().st_mtime_ns for path in paths.values() if path.exists()]
    if len(written) < len(paths) or cache.stat().st_mtime_ns < max(written):
        return None
    try:
        with np.load(cache) as arrays:
            return Raw(*(arrays[name] for name in Raw._fields))
    except Exception as error:  # of many kinds, as the file is not ours alone
        log.warning("%s: not readable (%s); made anew of raw/", cache, reason(error))
        return None


def _integers(path: Path, what: str, shape: tuple[int | None, int | None]) -> np.ndarray:
    values = _numbers(path, what, shape)
    if values.dtype.kind == "f":
        wrong = ~(np.isfinite(values) & (values == np.floor(values)))
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise InputError(f"{path}: expected integers, found {values[row, column]} in row {row}")
    return values.astype(np.int64, copy=False)


def _numbers(
    path: Path, what: str, shape: tuple[int | None, int | None], dtype: type | None = None
) -> np.ndarray:
    """The table of a file, `shape` where that is given."""
    with reading(path, f"OGB's: {what}"):
        table = np.concatenate([piece.astype(dtype or piece.dtype) for piece in _pieces(path)])
        if table.dtype.kind not in "iuf":
            raise ValueError(f"expected numbers, found {table.dtype}")
    for kind, expected, found in zip(("rows", "columns"), shape, table.shape, strict=True):
        if expected is not None and expected != found:
            raise InputError(f"{path}: expected {expected} {kind} ({what}), found {found}")
    return table


def _opened(path: Path, file: IO[bytes] | None = None) -> IO[bytes]:
    """The text of a file, which may be compressed.

    Args:
        file: it, opened already, so that a caller sees how far it has come.
    """
    file = path.open("rb") if file is None else file
    return cast(IO[bytes], gzip.open(file)) if path.suffix == ".gz" else file


def _pieces(path: Path) -> Iterator[np.ndarray]:
    with _opened(path) as text:
        width = 1 + text.readline().count(b",")
    rows = max(1, PIECE_NUMBERS // width)
    total = path.stat().st_size
    with (
        path.open("rb") as file,
        transfer(f"Loading {path}", total) as so_far,
        _opened(path, file) as text,
        pd.read_csv(text, header=None, chunksize=rows) as pieces,
    ):
        for piece in pieces:
            so_far(min(file.tell(), total), total)
            yield piece.to_numpy()
