"""A folder of one's own: edges, and beside it a table of nodes, features, labels, splits."""

from dataclasses import replace
from pathlib import Path

from ...registry import Format, formats
from ..imported import Imported, Options
from ..node_ids import FILE as IDS
from ..node_ids import read_ids
from ..tabular import EDGES, FEATURES, LABELS, NODES, WEIGHTS, one_of
from ..tabular import read as read_tables


def recognizes(path: Path) -> bool:
    return path.is_dir() and any((path / name).is_file() for name in EDGES)


def read(path: Path, options: Options) -> Imported:
    edges = one_of(path, EDGES)
    assert edges is not None
    found = replace(
        options,
        nodes=options.nodes or one_of(path, NODES),
        features=options.features or one_of(path, FEATURES),
    )
    splits = path / "splits.json"
    files = {splits.name: splits} if splits.exists() else {}
    made = read_tables(edges, found, one_of(path, LABELS), files, one_of(path, WEIGHTS))
    return made if made.ids is not None else replace(made, ids=read_ids(path / IDS, made.num_nodes))


formats.add(
    Format(
        "folder",
        label="Folder of tables",
        place=80,
        about="edges.npy, .csv, .tsv, .txt or .parquet, and nodes, features, labels likewise",
        recognizes=recognizes,
        read=read,
    )
)
