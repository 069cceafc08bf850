"""GraphSAINT's folders (Zeng et al., 2020), of Yelp, PPI, Flickr, Reddit, AmazonProducts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ...errors import InputError
from ...registry import Format, formats
from ...system.reading import reading
from ..feature_files import read_features
from ..imported import Imported, Options, Part, labels_of
from ..weights import of_matrix

GRAPH, CLASSES, FEATURES, ROLES = "adj_full.npz", "class_map.json", "feats.npy", "role.json"
PARTS = {"train": "tr", "val": "va", "test": "te"}


def recognizes(path: Path) -> bool:
    return _folder(path) is not None


def _folder(path: Path) -> Path | None:
    """The folder itself, or `raw` in it, as PyG has it."""
    folders = (path, path / "raw")
    return next((f for f in folders if (f / GRAPH).is_file() and (f / CLASSES).is_file()), None)


def read(path: Path, options: Options) -> Imported:
    folder = _folder(path)
    assert folder is not None
    adjacency, _ = read_features(folder / GRAPH)
    if not sp.issparse(adjacency):
        raise InputError(f"{folder / GRAPH}: expected a matrix of scipy.sparse.save_npz")
    listed, N = of_matrix(adjacency, options.weights, str(folder / GRAPH)), adjacency.shape[0]
    features = folder / FEATURES
    return Imported(
        **listed._asdict(),
        num_nodes=N,
        features=read_features(features)[0] if features.is_file() else None,
        labels=labels_of(_labels(folder / CLASSES, N), N, str(folder / CLASSES), options.task),
        splits=_splits(folder / ROLES, N) if (folder / ROLES).is_file() else (),
    )


def _object(path: Path) -> dict[str, Any]:
    with reading(path, "valid JSON"):
        content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object, found {str(content)[:40]}")
    return content


def _labels(path: Path, num_nodes: int) -> np.ndarray:
    """Of {"id": class}, or {"id": [0 or 1 of each label]}: `[N]` or `[N, C]`."""
    content = _object(path)
    given = [content.get(str(node)) for node in range(num_nodes)]
    lists = isinstance(given[0], list)
    rows = [each if isinstance(each, list) else [each] for each in given]
    for node, row in enumerate(rows):
        numbers = all(isinstance(value, int | float) for value in row)
        if not numbers or len(row) != len(rows[0]) or isinstance(given[node], list) != lists:
            expected = f"{len(rows[0])} numbers" if lists else "a number"
            found = "none" if given[node] is None else str(given[node])[:40]
            raise InputError(f"{path}: node {node}: expected {expected}, found {found}")
    with reading(path, "labels within 64 bits"):
        values = np.array(rows)
    return values if lists else values[:, 0]


def _splits(path: Path, num_nodes: int) -> tuple[Part, ...]:
    content = _object(path)
    split = {}
    for part, name in PARTS.items():
        ids = content.get(name)
        if not isinstance(ids, list) or not all(type(i) is int and 0 <= i < num_nodes for i in ids):
            found = "none" if ids is None else str(ids)[:40]
            expected = f"expected node ids 0 to {num_nodes - 1}"
            raise InputError(f"{path}: {name}: {expected}, found {found}")
        split[part] = np.array(ids, np.int64)
    return (split,)


formats.add(
    Format(
        "graphsaint",
        label="GraphSAINT",
        place=24,
        about="folder with adj_full.npz, class_map.json, feats.npy, role.json",
        recognizes=recognizes,
        read=read,
    )
)
