"""Planetoid's raw files (Yang et al., 2016): ind.NAME.x, .tx, .allx, .y, .ty, .ally, .graph, ..."""

import codecs
import copyreg
import io
import pickle
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ...errors import InputError
from ...registry import Format, formats
from ...system.reading import reading
from ..imported import Imported, Options, classes_of

NAMES = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
VALIDATION = 500  # nodes, the first after those that train

ARRAYS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "defaultdict"): defaultdict,
    ("_codecs", "encode"): codecs.encode,
    ("copyreg", "_reconstructor"): copyreg._reconstructor,  # type: ignore[attr-defined]
}
BUILTIN = {"list": list, "object": object, "set": set, "int": int, "dict": dict, "bytes": bytes}


class _Unpickler(pickle.Unpickler):
    """Opens matrices, arrays and lists, and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("builtins", "__builtin__") and name in BUILTIN:
            return BUILTIN[name]
        if name == "_reconstruct" and module.startswith("numpy"):
            return np.empty(0).__reduce__()[0]
        if name == "csr_matrix" and module.startswith("scipy.sparse"):
            return sp.csr_matrix
        found = ARRAYS.get(("copyreg" if module == "copy_reg" else module, name))
        if found is None:
            raise pickle.UnpicklingError(f"{module}.{name} is none of this format's types")
        return found


def recognizes(path: Path) -> bool:
    return bool(_graphs(path))


def _graphs(path: Path) -> list[Path]:
    """The file of the graph, in the folder or in `raw` there."""
    if not path.is_dir():
        return []
    return sorted([*path.glob("ind.*.graph"), *(path / "raw").glob("ind.*.graph")])


def read(path: Path, options: Options) -> Imported:
    files = _graphs(path)
    if len(files) > 1:
        found = " and ".join(file.name for file in files)
        raise InputError(f"{path}: expected the files of one graph, found {found}")
    stem = files[0].with_suffix("")
    x, tx, allx, y, ty, ally, graph = (_load(stem, name) for name in NAMES[:-1])
    for name, value in (("x", x), ("tx", tx), ("allx", allx)):
        if not (sp.issparse(value) or isinstance(value, np.ndarray)) or value.ndim != 2:
            raise InputError(f"{stem}.{name}: expected a matrix, found {type(value).__name__}")
    index_file = stem.with_name(f"{stem.name}.test.index")
    with reading(index_file, "a list of node ids"):
        test = np.array(index_file.read_text().split(), dtype=np.int64)
    for name, rows, expected in (
        ("ty", ty, tx.shape[0]), ("ally", ally, allx.shape[0]), ("test.index", test, tx.shape[0]),
    ):  # fmt: skip
        if len(rows) != expected:
            raise InputError(f"{stem}.{name}: expected {expected} rows, found {len(rows)}")
    known = allx.shape[0]
    if (test < known).any() or len(np.unique(test)) < len(test):
        raise InputError(f"{index_file}: expected distinct node ids from {known} on")
    # Citeseer lacks some nodes: they have no features, no label, and no neighbours.
    N = max(known, int(test.max(initial=0)) + 1)
    expected = known + len(test)
    if N // expected > 10:
        raise InputError(f"{index_file}: expected about {expected} nodes, found id {N - 1}")
    place = sp.csr_matrix((np.ones(len(test)), (test, np.arange(len(test)))), (N, len(test)))
    above = sp.csr_matrix((N - known, allx.shape[1]))
    features = sp.vstack([sp.csr_matrix(allx), above]) + place @ sp.csr_matrix(tx)
    labels = np.full(N, -1, np.int64)
    labels[:known] = classes_of(np.asarray(ally), known, f"{stem}.ally")
    labels[test] = classes_of(np.asarray(ty), len(test), f"{stem}.ty")
    train, labelled = np.arange(len(y)), np.flatnonzero(labels[:known] >= 0)
    val = labelled[labelled >= len(y)][:VALIDATION]
    split = {"train": train, "val": val, "test": np.sort(test[labels[test] >= 0])}
    return Imported(
        edges=_edges(graph, N, files[0]),
        num_nodes=N,
        features=features.astype(np.float32).tocsr(),
        labels=labels,
        splits=(split,),
    )


def _load(stem: Path, name: str) -> Any:
    path = stem.with_name(f"{stem.name}.{name}")
    with reading(path, "a pickle of matrices, arrays and lists"):
        return _Unpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()


def _edges(graph: Any, num_nodes: int, path: Path) -> np.ndarray:
    """Of {node: [neighbours]}."""
    if not isinstance(graph, dict):
        raise InputError(f"{path}: expected lists of neighbours, found {type(graph).__name__}")
    pairs = [(node, other) for node, others in graph.items() for other in others]
    edges = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    if ((edges < 0) | (edges >= num_nodes)).any():
        raise InputError(f"{path}: expected node ids 0 to {num_nodes - 1}, found {edges.max()}")
    return edges


formats.add(
    Format(
        "planetoid",
        label="Planetoid",
        place=22,
        about="folder with ind.NAME.x, tx, allx, y, ty, ally, graph, test.index",
        recognizes=recognizes,
        read=read,
    )
)
