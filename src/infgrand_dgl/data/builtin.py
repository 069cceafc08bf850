"""DGL's built-in sets, in the node order of their raw files."""

import contextlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from ..config.schema import DataConfig
from ..errors import InputError
from ..features.convert import check_indices, from_scipy, row_normalized
from ..graph.csr import CSRGraph
from ..system.reading import reading, reason
from .dataset import NodeDataset, Split
from .download import fetch
from .splits import PARTS

BAGS_OF_WORDS = ("cora", "citeseer")  # features of 0 and 1


def planetoid(dgl_class: str, config: DataConfig, root: Path) -> NodeDataset:
    """Cora, Citeseer, Pubmed with the public split; DGL row-normalises the features.

    Without that those of Cora and Citeseer are 0 and 1, a word or none; Pubmed's are not kept.

    Args:
        dgl_class: of `dgl.data`.
    """
    if config.row_normalize is False and config.name not in BAGS_OF_WORDS:
        raise InputError("data.row_normalize: DGL row-normalises this set; false is not available")
    raw = _fetch(dgl_class, root, keep=lambda self: None)
    g = raw[0]
    x = sp.csr_matrix(g.ndata["feat"].numpy())
    source, target = (ids.numpy() for ids in g.edges())
    graph = CSRGraph.from_edges(source, target, g.num_nodes())
    masks = (g.ndata[f"{part}_mask"] for part in PARTS)
    return NodeDataset(
        name=config.name,
        csr=graph,
        features=from_scipy(x.sign() if config.row_normalize is False else x),
        labels=g.ndata["label"],
        num_classes=raw.num_classes,
        split=Split(*(mask.nonzero().flatten() for mask in masks)),
        provenance={"source": "dgl", "files": str(raw.raw_path), "split": "public"},
    )


def gnn_benchmark(dgl_class: str, config: DataConfig, root: Path) -> NodeDataset:
    """Amazon and Coauthor; DGL reorders their nodes, so the raw npz is read instead.

    Args:
        dgl_class: of `dgl.data`.
    """

    def read(self: Any) -> None:
        self.npz = Path(self.raw_path) / f"{self.name}.npz"

    path = _fetch(dgl_class, root, keep=read, process=read).npz
    with reading(path, "a readable npz of this set"), np.load(path) as arrays:
        adj, attr = (
            sp.csr_matrix(
                tuple(arrays[f"{kind}_{part}"] for part in ("data", "indices", "indptr")),
                shape=arrays[f"{kind}_shape"],
            ).astype(np.float32)
            for kind in ("adj", "attr")
        )
        for matrix in (adj, attr):
            check_indices(matrix)
        labels = torch.from_numpy(arrays["labels"].astype(np.int64))
        num_classes = int(labels.max()) + 1
        edges = adj.tocoo()
        graph = CSRGraph.from_edges(edges.row, edges.col, adj.shape[0])
    return NodeDataset(
        name=config.name,
        csr=graph,
        features=from_scipy(row_normalized(attr) if config.row_normalize else attr),
        labels=labels,
        num_classes=num_classes,
        split=None,
        provenance={"source": "dgl", "files": str(path), "split": "20 per class, 500, 1000"},
    )


def _fetch(dgl_class: str, root: Path, keep: Any, process: Any = None) -> Any:
    """DGL's dataset class for its raw files alone: it writes nothing beside them.

    Its own download has no time-out, and begins anew when it is interrupted.

    Args:
        keep, process: instead of its methods `save` and `process`.
    """
    from ..graph.dgl_bridge import dgl

    cls = getattr(dgl.data, dgl_class)

    def download(self: Any) -> None:
        folder = Path(self.raw_path)
        if not folder.is_dir() or not any(folder.iterdir()):
            fetch(self.url, root / f"{self.name}.zip", folder)

    methods = {"has_cache": lambda self: False, "save": keep, "_download": download}
    if process is not None:
        methods["process"] = process
    raw_only = type(dgl_class, (cls,), methods)
    with contextlib.redirect_stdout(sys.stderr):
        try:
            return raw_only(raw_dir=str(root), verbose=False)
        except Exception as error:  # network, disk and pickle errors of many kinds
            folder = _folder(cls, root)
            if folder.is_dir() and any(folder.iterdir()):
                raise InputError(f"{folder}: not readable as this set ({reason(error)})") from None
            why = str(error) if isinstance(error, InputError) else reason(error)
            raise InputError(
                f"data.root: no {dgl_class} under {root}, and it cannot be downloaded "
                f"({why}); put its raw files into {folder}"
            ) from None


def _folder(cls: Any, root: Path) -> Path:
    """Where DGL looks: the set's name and a hash of its address."""
    probe = type("Probe", (cls,), {"_load": lambda self: None})
    return Path(probe(raw_dir=str(root)).raw_path)
