"""A user's own graph: one folder of plain files."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .._dgl import DGLGraph, dgl
from ..config import DataConfig
from ..errors import InputError
from ..graph import CSRGraph
from .dataset import NodeDataset, Split

EDGE_FILES = ("edges.npy", "edges.csv", "edges.parquet", "graph.bin")
PARTS = ("train", "val", "test")


def load(config: DataConfig, root: Path) -> NodeDataset:
    """Reads the folder `data.root`:

    - `edges.npy`, `edges.csv` or `edges.parquet`: integers `[E, 2]`, one edge a row, ids from 0;
      or `graph.bin`, a graph saved by `dgl.save_graphs`. With `data.edges: undirected` every edge
      stands for both directions; with `directed` the reverse of each must be listed too.
    - `features.npy`: numbers `[N, D]`; row i belongs to node i.
    - `labels.npy`: integers `[N]` from 0; -1 where there is none.
    - `splits.json`: {"train": [ids], "val": [ids], "test": [ids]}.

    Beside `graph.bin` the last three may be left out: `ndata` "feat", "label", "train_mask",
    "val_mask" and "test_mask" stand in for them.
    """
    if not root.is_dir():
        raise InputError(f"data.root: no such folder: {root}")
    found = [name for name in EDGE_FILES if (root / name).exists()]
    if len(found) != 1:
        what = f"found {' and '.join(found)}" if found else "found none"
        raise InputError(f"{root}: expected one of {', '.join(EDGE_FILES)}; {what}")
    path = root / found[0]
    saved = _graph_bin(path) if path.suffix == ".bin" else None

    features = _features(root, saved)
    labels = _labels(root, saved)
    source, target = _saved_edges(saved) if saved is not None else _edges(path)
    ids = np.concatenate([source, target])
    if len(ids) and (ids.min() < 0 or ids.max() >= len(features)):
        row = int(((ids < 0) | (ids >= len(features))).argmax()) % len(source)
        raise InputError(
            f"{path}: expected node ids 0 to {len(features) - 1} (features has {len(features)} "
            f"rows), found edge {source[row]}, {target[row]} in row {row}"
        )
    if config.edges == "directed":
        graph = dgl.graph(
            (torch.from_numpy(source), torch.from_numpy(target)), num_nodes=len(features)
        )
        try:
            csr = CSRGraph.undirected(graph)
        except InputError as error:
            raise InputError(f"{path}: {error}, or data.edges: undirected does") from None
    else:
        csr = CSRGraph.from_edges(source, target, len(features))
    return NodeDataset(
        name=root.name,
        graph=csr.to_dgl(),
        features=_row_normalized(features) if config.row_normalize else features,
        labels=labels,
        num_classes=max(int(labels.max()) + 1, 1),
        split=_split(root, saved),
        provenance={"source": "directory", "files": str(root), "split": "given"},
    )


def _graph_bin(path: Path) -> DGLGraph:
    try:
        graphs, _ = dgl.load_graphs(str(path))
    except dgl.DGLError as error:
        raise InputError(
            f"{path}: not a graph saved by DGL ({str(error).splitlines()[0]})"
        ) from None
    if len(graphs) != 1:
        raise InputError(f"{path}: expected one graph, found {len(graphs)}")
    weights = sorted({"w", "weight", "weights", "edge_weight"} & set(graphs[0].edata))
    if weights:
        raise InputError(f"{path}: edge weights are not supported, found edata {weights[0]!r}")
    return graphs[0]


def _saved_edges(saved: DGLGraph) -> tuple[np.ndarray, np.ndarray]:
    source, target = saved.edges()
    return source.long().numpy(), target.long().numpy()


def _edges(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        if path.suffix == ".npy":
            edges = np.load(path)
        elif path.suffix == ".csv":
            header = None if path.open().readline()[:1].strip("-").isdigit() else 0
            edges = pd.read_csv(path, header=header).to_numpy()
        else:
            edges = pd.read_parquet(path).to_numpy()
    except ImportError:
        raise InputError(f"{path}: reading parquet needs pyarrow (pip install pyarrow)") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable ({str(error).splitlines()[0]})") from None
    if edges.ndim != 2 or edges.shape[1] != 2:
        weights = (
            "; edge weights are not supported" if edges.ndim == 2 and edges.shape[1] == 3 else ""
        )
        raise InputError(f"{path}: expected shape [E, 2], found {list(edges.shape)}{weights}")
    if not np.issubdtype(edges.dtype, np.integer):
        raise InputError(f"{path}: expected integer node ids, found {edges.dtype}")
    edges = edges.astype(np.int64)
    return edges[:, 0], edges[:, 1]


def _array(path: Path) -> np.ndarray:
    try:
        return np.load(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{path}: not a readable .npy file ({str(error).splitlines()[0]})"
        ) from None


def _ndata(root: Path, saved: DGLGraph | None, file: str, key: str) -> Tensor | None:
    """ndata[key] of graph.bin, where the file is not there to win."""
    if saved is None or (root / file).exists():
        return None
    if key not in saved.ndata:
        raise InputError(f"{root}: expected {file}, or ndata {key!r} in graph.bin")
    return saved.ndata[key]


def _features(root: Path, saved: DGLGraph | None) -> Tensor:
    stored = _ndata(root, saved, "features.npy", "feat")
    array = _array(root / "features.npy") if stored is None else stored.numpy()
    if array.ndim != 2 or array.dtype.kind not in "fiub":
        raise InputError(
            f"{root / 'features.npy'}: expected numbers [N, D], found {array.dtype} "
            f"{list(array.shape)}"
        )
    if saved is not None and len(array) != saved.num_nodes():
        raise InputError(
            f"{root / 'features.npy'}: expected {saved.num_nodes()} rows, one for each node of "
            f"graph.bin, found {len(array)}"
        )
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _labels(root: Path, saved: DGLGraph | None) -> Tensor:
    stored = _ndata(root, saved, "labels.npy", "label")
    array = _array(root / "labels.npy") if stored is None else stored.numpy()
    if array.dtype.kind not in "iu":
        raise InputError(f"{root / 'labels.npy'}: expected integers, found {array.dtype}")
    return (
        torch.from_numpy(array.astype(np.int64)).squeeze(-1)
        if array.ndim == 2
        else (torch.from_numpy(array.astype(np.int64)))
    )


def _split(root: Path, saved: DGLGraph | None) -> Split:
    path = root / "splits.json"
    if saved is not None and not path.exists():
        masks = [_ndata(root, saved, path.name, f"{part}_mask") for part in PARTS]
        return Split(*(mask.bool().nonzero().flatten() for mask in masks if mask is not None))
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error})") from None
    parts = []
    for part in PARTS:
        ids = content.get(part) if isinstance(content, dict) else None
        if not isinstance(ids, list) or not all(type(i) is int for i in ids):
            raise InputError(f"{path}: {part}: expected a list of node ids")
        parts.append(torch.tensor(ids, dtype=torch.long))
    return Split(*parts)


def _row_normalized(features: Tensor) -> Tensor:
    sums = features.sum(dim=1, keepdim=True)
    return torch.where(sums == 0, features, features / sums)
