"""The .npz of gnn-benchmark and CPF: SciPy's CSR in parts, or the whole dataset pickled."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ...errors import InputError
from ...registry import Format, formats
from ..dataset import PARTS
from ..imported import Imported, Options, csr_of_parts, labels_of, parts_of_masks
from ..npz import keys_of, read_npz
from ..weights import of_matrix

# gnn-benchmark's, and PPNP's: adj_data, adj_matrix.data.
ADJACENCY = ("adj_", "adj_matrix.", "adj_matrix_")
FEATURES = ("attr_", "attr_matrix.", "attr_matrix_")
PICKLED = ("arr_0", "adj_matrix")  # a dict of all, or matrices as objects


def recognizes(path: Path) -> bool:
    keys = keys_of(path)
    in_parts = any(f"{prefix}indptr" in keys for prefix in ADJACENCY)
    return in_parts or any(key in keys for key in PICKLED)


def read(path: Path, options: Options) -> Imported:
    keys = keys_of(path)
    if any(f"{prefix}indptr" in keys for prefix in ADJACENCY):
        # Names of nodes, attributes and classes are pickled in some files, and are not needed.
        wanted = [
            k for k in keys if k.startswith(("adj_", "attr_", "labels")) or k.endswith("mask")
        ]
        return _of_arrays(read_npz(path, [k for k in wanted if k != "attr_names"]), options, path)
    if not options.trust:
        raise InputError(
            f"{path}: this .npz holds pickled objects, which run code when they are opened; "
            f"data import --trust opens it, if you trust where it came from"
        )
    with np.load(path, allow_pickle=True) as archive:
        content: Mapping[str, Any] = dict(archive)
    if "arr_0" in content:
        content = content["arr_0"].item()
        if not isinstance(content, dict):
            raise InputError(f"{path}: expected a pickled dict, found {type(content).__name__}")
    opened = {key: _opened(value) for key, value in content.items()}
    return _of_arrays(opened, options, path)


def _opened(value: Any) -> Any:
    """What an array of one object holds."""
    alone = isinstance(value, np.ndarray) and value.dtype.hasobject and value.ndim == 0
    return value.item() if alone else value


def _of_arrays(arrays: Mapping[str, Any], options: Options, path: Path) -> Imported:
    where = str(path)
    adjacency = _matrix(arrays, ADJACENCY, "adj_matrix", where)
    if adjacency is None:
        raise InputError(f"{where}: expected adj_data, adj_indices, adj_indptr, adj_shape")
    N = adjacency.shape[0]
    listed = of_matrix(adjacency, options.weights, f"{where}: adjacency")
    labels = _matrix(arrays, ("labels_", "labels."), "labels", where)
    masks = {part: arrays[f"{part}_mask"] for part in PARTS if f"{part}_mask" in arrays}
    return Imported(
        **listed._asdict(),
        num_nodes=N,
        features=_matrix(arrays, FEATURES, "attr_matrix", where),
        labels=None if labels is None else labels_of(labels, N, f"{where}: labels", options.task),
        splits=parts_of_masks(masks, N, where) if len(masks) == len(PARTS) else (),
    )


def _matrix(arrays: Mapping[str, Any], prefixes: tuple[str, ...], whole: str, where: str) -> Any:
    for prefix in prefixes:
        if f"{prefix}indptr" in arrays:
            return csr_of_parts(arrays, prefix, where)
    found = arrays.get(whole)
    if found is None or sp.issparse(found):
        return found if found is None else sp.csr_matrix(found)
    return np.asarray(found)


formats.add(
    Format(
        "gnn-benchmark",
        label="gnn-benchmark, CPF",
        place=10,
        about=".npz with adj_data, adj_indices, adj_indptr, adj_shape, attr_..., labels",
        recognizes=recognizes,
        read=read,
    )
)
