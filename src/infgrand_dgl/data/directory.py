"""A user's own graph: one folder of plain files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from ..config.schema import DataConfig
from ..errors import InputError
from ..features.convert import as_features, check_numbers, normalized_rows, row_normalized
from ..graph.convert import WEIGHTS
from ..graph.csr import CSRGraph, distinct
from ..system.arrays import load_array
from ..system.reading import reading
from ..system.trial import failure
from .dataset import PARTS, UNLABELLED, NodeDataset, Split
from .label_names import FILE as NAMES
from .label_names import read_names
from .labels import NUMBERS, Labels, labelled, read_labels
from .masks import from_json, from_masks
from .node_ids import FILE as IDS
from .node_ids import read_ids
from .weights import Listed, Wanted, chosen, of_columns, one_each, refuse_unclear

if TYPE_CHECKING:
    from ..graph.dgl_bridge import DGLGraph

NO_FEATURES = "data.features: structural makes some of the graph"
EDGE_FILES = ("edges.npy", "edges.csv", "edges.parquet", "graph.bin")


def load(config: DataConfig, root: Path) -> NodeDataset:
    """Reads the folder `data.root`:

    - `edges.npy`: integers `[E, 2]`, one edge a row, ids from 0 (`importing.load` reads edges in
      other files); or `graph.bin`, a graph saved by `dgl.save_graphs`. With `data.edges:
      undirected` every edge stands for both directions; with `directed` the reverse of each must
      be listed too.
    - `weights.npy`: numbers `[E]`, one for each row of `edges.npy`, where edges have weights; or a
      third column of `edges.npy` (with `data.weights: true`), or `edata` of `graph.bin`.
    - `features.npy`: numbers `[N, D]`; row i belongs to node i. It may be left out with
      `data.features: structural`; N is then how many nodes `graph.bin` has, `labels.npy` or
      `ids.npy`, or one more than the largest id.
    - `labels.npy`: classes `[N]`, several labels `[N, C]`, or numbers, as `labels.read_labels`
      takes them; of columns `label_names.json` may have the names, as a list.
    - `ids.npy`: integers or text `[N]`, the nodes' ids elsewhere, if they have some.
    - `splits.json`: {"train": [ids], "val": [ids], "test": [ids]}, or what else `masks.from_json`
      takes.

    Beside `graph.bin` the last three may be left out: `ndata` "feat", "label", "train_mask",
    "val_mask" and "test_mask" stand in for them. Labels and splits may be left out altogether:
    nothing is trained then (`NodeDataset.lacks`).
    """
    if not root.is_dir():
        raise InputError(f"data.root: no such folder: {root}")
    present = [name for name in EDGE_FILES if (root / name).exists()]
    if not present:
        expected = f"one of {', '.join(EDGE_FILES)}, or the files of a format of data import"
        raise InputError(f"data.root: {root}: expected {expected}; found none")
    if len(present) > 1:
        found = " and ".join(present)
        raise InputError(f"{root}: expected one of {', '.join(EDGE_FILES)}; found {found}")
    path = root / present[0]
    saved = _graph_bin(path) if path.suffix == ".bin" else None

    listed = _listed(path, saved, config.weights)
    labels = _labels(root, saved)
    features: tuple[np.ndarray, str] | int
    if config.features == "structural" and not _has_features(root, saved):
        features = N = _count(root, saved, listed.edges, labels)
    else:
        features = _features(root, saved)
        N = len(features[0])
    stored = Stored(
        (listed.edges, str(path)),
        features,
        labels,
        _splits(root, saved, N),
        read_names(root),
        weights=_weights(root, listed, path, config.weights),
        directed=listed.directed,
        ids=read_ids(root / IDS, N),
    )
    return dataset_of(stored, config, root)


class Stored(NamedTuple):
    """What a folder holds, and where it is, for messages.

    Args:
        edges: integers `[E, 2]`.
        features: numbers `[N, D]`, dense or SciPy sparse; or N, where they are made later.
        labels: `[N]` or `[N, C]`, as `labels.read_labels` takes them; or why there are none.
        splits: or why there are none.
        label_names: of columns of labels that are no classes; None: they are numbers.
        weights: of the edges, numbers `[E]`; None: there are none.
        directed, ids: as of `imported.Imported`.
    """

    edges: tuple[np.ndarray, str]
    features: tuple[np.ndarray | sp.csr_matrix, str] | int
    labels: tuple[np.ndarray, str] | str
    splits: tuple[Split, ...] | str
    label_names: tuple[str, ...] | None = None
    weights: np.ndarray | None = None
    directed: bool | None = None
    ids: np.ndarray | None = None


def dataset_of(stored: Stored, config: DataConfig, root: Path) -> NodeDataset:
    """The dataset, its edges made undirected as `data.edges` says; provenance "edges" is what that
    has changed."""
    splits = stored.splits
    if isinstance(stored.features, int):
        x = torch.empty(stored.features, 0)
    else:
        x = _features_of(*stored.features, bool(config.row_normalize))
    N = len(x)
    labels, lacks = _judged(stored.labels, N, config)
    names = labels.classes if labels.task == "classification" else stored.label_names
    if names is not None and len(names) != labels.num_classes:
        expected = f"{labels.num_classes} names, one for each column of the labels"
        raise InputError(f"{root / NAMES}: expected {expected}, found {len(names)}")
    if isinstance(splits, str):
        lacks, splits = lacks or splits, ()
    csr, told = _undirected(stored, N, config)
    return NodeDataset(
        name=root.name,
        csr=csr,
        features=x,
        labels=labels.values,
        num_classes=labels.num_classes,
        classes=names,
        split=splits[0] if len(splits) == 1 else None,
        splits=splits if len(splits) > 1 else (),
        provenance={"source": "directory", "files": str(root), "split": _told(splits), **told},
        lacks=lacks,
        task=labels.task,
        ids=stored.ids,
    )


def _features_of(values: np.ndarray | sp.csr_matrix, where: str, row_normalize: bool) -> Tensor:
    if row_normalize and sp.issparse(values):
        return as_features(row_normalized(values), where)
    x = as_features(values, where)
    return normalized_rows(x) if row_normalize else x


def _undirected(
    stored: Stored, num_nodes: int, config: DataConfig
) -> tuple[CSRGraph, dict[str, str]]:
    """The graph, and what provenance says of its edges."""
    edges, where = stored.edges
    wrong = ((edges < 0) | (edges >= num_nodes)).any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{where}: expected node ids 0 to {num_nodes - 1} (there are {num_nodes} nodes), "
            f"found edge {edges[row, 0]}, {edges[row, 1]} in row {row}"
        )
    source, target = edges.astype(np.int64).T
    weights = stored.weights
    told = {} if weights is None else {"weights": "given"}
    try:
        if config.edges == "directed":
            advice = "dgl.to_bidirected(graph) adds it, or data.edges: undirected does"
            return CSRGraph.mirrored(source, target, num_nodes, advice, weights), told
        csr = CSRGraph.from_edges(source, target, num_nodes, weights)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if weights is not None:
        source, target = source[weights != 0], target[weights != 0]
    if changed := made_undirected(source, target, csr, stored.directed):
        told["edges"] = changed
    return csr, told


def made_undirected(
    source: np.ndarray, target: np.ndarray, csr: CSRGraph, directed: bool | None
) -> str | None:
    """How many of the edges had no reverse, where that says something.

    A list of every edge once is undirected as it stands; one where some have their reverse is not.

    Args:
        csr: what they were made to.
        directed: whether they have a direction in their format; None: as they are listed.
    """
    pairs = (csr.num_edges - csr.num_rows) // 2
    if directed is False or (not directed and len(source) <= pairs):
        return None
    other = source != target
    listed = len(distinct(source[other] * csr.num_rows + target[other]))
    alone = 2 * pairs - listed
    if not alone or (not directed and alone == listed):
        return None
    return f"made undirected, {alone:,} of {listed:,} had no reverse"


def _open_graph_bin(path: Path) -> None:
    from ..graph.dgl_bridge import dgl, homogeneous

    dgl.utils.set_num_threads(1)
    for graph in dgl.load_graphs(str(path))[0]:
        if homogeneous(graph):
            graph.edges()


def _graph_bin(path: Path) -> DGLGraph:
    from ..graph.dgl_bridge import dgl, homogeneous

    memory = (1 << 30) + 8 * path.stat().st_size
    if told := failure(lambda: _open_graph_bin(path), memory, seconds=60):
        raise InputError(f"{path}: not a graph saved by DGL ({told})")
    with reading(path, "a graph saved by DGL"):
        graphs, _ = dgl.load_graphs(str(path))
    if len(graphs) != 1:
        raise InputError(f"{path}: expected one graph, found {len(graphs)}")
    graph = graphs[0]
    if not homogeneous(graph):
        types = f"{len(graph.ntypes)} and {len(graph.etypes)}"
        raise InputError(f"{path}: expected one node type and one edge type, found {types}")
    return graph


def _listed(path: Path, saved: DGLGraph | None, wanted: Wanted) -> Listed:
    """The edges as they are stored, with the weights that are stored with them."""
    if saved is None:
        return of_columns(load_array(path), wanted, path)
    edges, E = torch.stack(saved.edges(), dim=1).numpy(), saved.num_edges()
    single = {key: v for key, v in saved.edata.items() if v.numel() == E > 0 and key[0] != "_"}
    floats = [key for key, values in single.items() if values.is_floating_point()]
    names = [key for key in single if key.lower() in WEIGHTS] or floats or [*single]
    taken = chosen(names, wanted, f"{path}: edata")
    if taken is not None:
        values = _numpy(single[names[taken]])
        return Listed(edges, one_each(values, E, f"{path}: edata {names[taken]!r}"), directed=True)
    for key in floats if wanted is None else ():
        refuse_unclear(_numpy(single[key]).ravel(), f"{path}: edata {key!r} is unclear")
    return Listed(edges, directed=True)


def _weights(root: Path, listed: Listed, path: Path, wanted: Wanted) -> np.ndarray | None:
    """Those of `weights.npy`, or stored with the edges."""
    file = root / "weights.npy"
    if wanted is not False and file.exists():
        if listed.weights is not None:
            both = f"{file.name} and {path.name}"
            raise InputError(f"{root}: expected edge weights once, found some in {both}")
        return one_each(load_array(file), len(listed.edges), str(file))
    if wanted and listed.weights is None:
        expected = f"expected edge weights (data.weights: true) in weights.npy or {path.name}"
        raise InputError(f"{root}: {expected}, found none")
    return listed.weights


def _ndata(root: Path, saved: DGLGraph | None, file: str, key: str) -> np.ndarray | None:
    """ndata[key] of graph.bin, where the file is not there to win."""
    if saved is None or (root / file).exists():
        return None
    if key not in saved.ndata:
        raise InputError(f"{root}: expected {file}, or ndata {key!r} in graph.bin")
    return _numpy(saved.ndata[key])


def _numpy(values: Tensor) -> np.ndarray:
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()


def _array(root: Path, saved: DGLGraph | None, file: str, key: str) -> tuple[np.ndarray, str]:
    """The array and where it was found."""
    stored = _ndata(root, saved, file, key)
    if stored is None:
        return load_array(root / file), str(root / file)
    return stored, f"{root / 'graph.bin'}: ndata {key!r}"


def _has_features(root: Path, saved: DGLGraph | None) -> bool:
    return (root / "features.npy").exists() or (saved is not None and "feat" in saved.ndata)


def _count(
    root: Path, saved: DGLGraph | None, edges: np.ndarray, labels: tuple[np.ndarray, str] | str
) -> int:
    """N of a graph without features."""
    if saved is not None:
        return int(saved.num_nodes())
    if not isinstance(labels, str):
        N, where = int(np.atleast_1d(labels[0]).shape[0]), labels[1]
    elif (root / IDS).exists():
        N, where = load_array(root / IDS).size, str(root / IDS)
    else:
        N, where = int(edges.max(initial=-1)) + 1, "edges"
        if 1000 + 10 * edges.size < N:  # ids of something else
            raise InputError(
                f"{root}: expected node ids from 0 without large gaps in edges, found {N - 1}; "
                "labels.npy or features.npy says how many nodes there are"
            )
    if not N:
        raise InputError(f"{where}: expected at least one node, found none")
    return N


def _features(root: Path, saved: DGLGraph | None) -> tuple[np.ndarray, str]:
    file = root / "features.npy"
    if saved is None and not file.exists():
        raise InputError(f"{file}: no such file: expected numbers [N, D]; {NO_FEATURES}")
    array, where = _array(root, saved, "features.npy", "feat")
    check_numbers(array, where)
    if saved is not None and len(array) != saved.num_nodes():
        raise InputError(
            f"{where}: expected {saved.num_nodes()} rows, one for each node of graph.bin, "
            f"found {len(array)}"
        )
    return array, where


def _labels(root: Path, saved: DGLGraph | None) -> tuple[np.ndarray, str] | str:
    if not (root / "labels.npy").exists() and (saved is None or "label" not in saved.ndata):
        also = ", or ndata 'label' in graph.bin" if saved is not None else ""
        if (root / "labels.npz").exists():
            also += f"; {root / 'labels.npz'} is not read: np.save writes matrix.toarray()"
        return f"{root / 'labels.npy'}: no such file: training needs it{also}"
    return _array(root, saved, "labels.npy", "label")


def _judged(
    stored: tuple[np.ndarray, str] | str, num_nodes: int, config: DataConfig
) -> tuple[Labels, str | None]:
    """The labels, and why nobody can learn them."""
    if isinstance(stored, str):
        return Labels(torch.full((num_nodes,), UNLABELLED), 0, None), stored
    array, where = stored
    labels = read_labels(array, where, config.task)
    known = int(labelled(labels.values).sum())
    if known == 0:
        return labels, f"{where}: expected labels, found none"
    if labels.task == "classification" and labels.num_classes == known > 1:
        unlike = f"found {known} labels, all unlike; {NUMBERS}"
        return labels, f"{where}: expected classes that nodes share, {unlike}"
    return labels, None


def _splits(root: Path, saved: DGLGraph | None, num_nodes: int) -> tuple[Split, ...] | str:
    """The splits, or why there is none."""
    path, masks = root / "splits.json", [f"{part}_mask" for part in PARTS]
    if path.exists():
        return read_splits(path, num_nodes)
    if saved is None or not any(mask in saved.ndata for mask in masks):
        also = f", or ndata {', '.join(masks)} in graph.bin" if saved is not None else ""
        return f"{path}: no such file: training needs it{also}; data split draws one"
    where = f"{root / 'graph.bin'}: ndata "
    arrays = [_ndata(root, saved, path.name, mask) for mask in masks]
    given = {part: a for part, a in zip(PARTS, arrays, strict=True) if a is not None}
    return _some(from_masks(given, num_nodes, where), where)


def read_splits(path: Path, num_nodes: int) -> tuple[Split, ...] | str:
    """Of a `splits.json`; or why there is none in it."""
    with reading(path, "valid JSON"):
        content = json.loads(path.read_text())
    return _some(from_json(content, num_nodes, f"{path}: "), str(path))


def _some(splits: tuple[Split, ...], where: str) -> tuple[Split, ...] | str:
    if not any(len(getattr(split, part)) for split in splits for part in PARTS):
        return f"{where}: expected nodes in train, val and test, found none"
    return splits


def _told(splits: tuple[Split, ...]) -> str:
    return ("none", "given")[len(splits)] if len(splits) < 2 else f"{len(splits)} given"
