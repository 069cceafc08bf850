"""OGB's raw layout, for a graph of one's own: raw/edge.csv.gz, node-feat.csv.gz, split/<name>/."""

from pathlib import Path

import numpy as np
import pandas as pd

from ...errors import InputError
from ...registry import Format, formats
from ...system.reading import reading
from ..imported import Imported, Options, Part, classes_of
from ..npz import read_npz

ENDINGS = (".csv.gz", ".csv")
PARTS = {"train": "train", "val": "valid", "test": "test"}


def recognizes(path: Path) -> bool:
    raw = path / "raw"
    return (raw / "data.npz").is_file() or any((raw / f"edge{e}").is_file() for e in ENDINGS)


def read(path: Path, options: Options) -> Imported:
    raw = path / "raw"
    if (raw / "data.npz").is_file():  # the binary kind, of OGB's largest sets
        with reading(raw / "data.npz", "a readable .npz of OGB"):
            data = read_npz(raw / "data.npz", ["edge_index", "num_nodes_list", "node_feat"])
            labels = read_npz(raw / "node-label.npz", ["node_label"])["node_label"]
        edges, features = data["edge_index"].T, data["node_feat"]
        N = _only(data["num_nodes_list"], raw / "data.npz")
    else:
        edges, features, labels = (_table(raw, n) for n in ("edge", "node-feat", "node-label"))
        N = _only(_table(raw, "num-node-list"), raw)
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu":
        raise InputError(f"{raw}: edge: expected integers [E, 2], found {list(edges.shape)}")
    if labels.ndim == 2 and labels.shape[1] > 1:
        found = list(labels.shape)
        raise InputError(f"{raw}: node-label: expected one label a node, found {found}")
    classes = classes_of(labels, N, f"{raw}: node-label")
    return Imported(
        edges=edges,
        num_nodes=N,
        features=features,
        labels=classes,
        splits=_splits(path / "split", N),
    )


def _table(folder: Path, name: str) -> np.ndarray:
    """Numbers `[R, K]`, without a header, as OGB has them."""
    path = next((folder / f"{name}{e}" for e in ENDINGS if (folder / f"{name}{e}").exists()), None)
    if path is None:
        raise InputError(f"{folder / name}{ENDINGS[0]}: no such file")
    with reading(path, "a table of numbers without a header"):
        values = pd.read_csv(path, header=None).to_numpy()
    if values.dtype.kind not in "iuf":
        raise InputError(f"{path}: expected numbers without a header, found {values.dtype}")
    return values


def _only(counts: np.ndarray, where: Path) -> int:
    """The number of nodes of the only graph."""
    if counts.size != 1 or counts.dtype.kind not in "iu":
        raise InputError(f"{where}: expected the number of nodes of one graph, found {counts.size}")
    return int(counts.ravel()[0])


def _splits(folder: Path, num_nodes: int) -> tuple[Part, ...]:
    """Of `split/<name>/train.csv.gz`, `valid` and `test`: ids of nodes."""
    named = sorted(each for each in folder.glob("*") if each.is_dir())
    if not named:
        return ()
    if len(named) > 1:
        found = " and ".join(each.name for each in named)
        raise InputError(f"{folder}: expected one split, found {found}")
    split = {}
    for part, name in PARTS.items():
        ids = _table(named[0], name).ravel()
        if ids.dtype.kind != "i" or ((ids < 0) | (ids >= num_nodes)).any():
            expected = f"node ids 0 to {num_nodes - 1}"
            raise InputError(f"{named[0] / name}: expected {expected}, found {ids.max()}")
        split[part] = ids
    return (split,)


formats.add(
    Format(
        "ogb-raw",
        label="OGB's raw layout",
        place=23,
        about="folder with raw/edge.csv.gz, node-feat, node-label, num-node-list, split/NAME/",
        recognizes=recognizes,
        read=read,
    )
)
