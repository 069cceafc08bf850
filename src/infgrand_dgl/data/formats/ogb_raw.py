"""OGB's raw layout, for a graph of one's own: raw/edge.csv.gz, node-feat.csv.gz, split/<name>/."""

from pathlib import Path

import numpy as np

from ...errors import InputError
from ...registry import Format, formats
from ..imported import Imported, Options, Part, labels_of
from ..ogb_files import read_binary, read_ids, read_text, read_weights, with_ending
from ..weights import Wanted, as_weights, chosen

PARTS = {"train": "train", "val": "valid", "test": "test"}


def recognizes(path: Path) -> bool:
    raw = path / "raw"
    return (raw / "data.npz").is_file() or with_ending(raw / "edge.csv").is_file()


def read(path: Path, options: Options) -> Imported:
    raw = path / "raw"
    found = read_binary(raw) if (raw / "data.npz").is_file() else read_text(raw)
    N = len(found.labels)
    weights, notes = _weights(raw, found.edges.shape[1], options.weights)
    return Imported(
        edges=found.edges.T,
        weights=weights,
        notes=notes,
        num_nodes=N,
        features=found.features,
        labels=labels_of(found.labels, N, f"{raw}: node-label", options.task),
        splits=_splits(path / "split", N),
    )


def _weights(
    raw: Path, num_edges: int, wanted: Wanted
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """`[E]` of edge_weight.csv, or of edge-feat.csv with one column if wanted; lines for the
    user."""
    files = {name: with_ending(raw / f"{name}.csv") for name in ("edge_weight", "edge-feat")}
    names = [name for name, path in files.items() if path.is_file()]
    taken = chosen(names, wanted, str(raw))
    if taken is not None:
        path = files[names[taken]]
        return as_weights(read_weights(path, num_edges), str(path)), ()
    if wanted is None and names:
        way = "data import --weights takes one column as edge weights"
        return None, (f"{files[names[0]]}: it is not used; {way}",)
    return None, ()


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
        path = with_ending(named[0] / f"{name}.csv")
        ids = read_ids(path)
        if ((ids < 0) | (ids >= num_nodes)).any():
            wrong = ids.min() if ids.min() < 0 else ids.max()
            raise InputError(f"{path}: expected node ids 0 to {num_nodes - 1}, found {wrong}")
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
