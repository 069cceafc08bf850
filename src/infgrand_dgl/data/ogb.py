"""OGB node property prediction: OGB's files, splits, labels and verdict.

The files are read here: ogb's own loader asks on standard input, deletes what it deems outdated,
and needs a folder that it may write to.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from requests import RequestException
from torch import Tensor

from ..config.schema import DataConfig
from ..errors import InputError
from ..graph import dgl_bridge  # noqa: F401  ogb imports DGL itself: the workaround must come first
from ..graph.csr import CSRGraph
from ..system.reading import reading, reason
from . import ogb_csv
from .dataset import UNLABELLED, NodeDataset, Split
from .download import fetch
from .ogb_csv import Raw


def load(config: DataConfig, root: Path) -> NodeDataset:
    """ogbn-arxiv, ogbn-products or ogbn-papers100M, made undirected, with OGB's split."""
    if config.row_normalize:
        raise InputError("data.row_normalize: OGB's features are dense and signed; use null")
    facts, folder = _facts(config.name), folder_of(config.name, root)
    if not (folder / "raw").is_dir():
        _download(config.name, folder, facts)
    raw = _binary(folder / "raw") if facts["binary"] == "True" else ogb_csv.read(folder)
    split = folder / "split" / facts["split"]
    ids = (ogb_csv.read_ids(split / f"{part}.csv.gz") for part in ("train", "valid", "test"))
    labels = torch.from_numpy(raw.labels)
    source, target = raw.edges
    return NodeDataset(
        name=config.name,
        csr=CSRGraph.from_edges(source, target, len(labels)),
        features=torch.from_numpy(raw.features),
        labels=torch.where(labels.isnan(), UNLABELLED, labels).long(),
        num_classes=int(facts["num classes"]),
        split=Split(*map(torch.from_numpy, ids)),
        provenance={"source": "ogb", "files": str(folder), "split": "official"},
    )


def folder_of(name: str, root: Path) -> Path:
    """Where a set lies: `ogbn_arxiv`, or the name that earlier versions of ogb gave it for DGL."""
    folder = root / name.replace("-", "_")
    older = folder.with_name(f"{folder.name}_dgl")
    return older if older.is_dir() else folder


def accuracy(name: str, predicted: Tensor, labels: Tensor) -> float:
    """OGB's own verdict on the predicted classes of nodes with `labels`, both `[n]`."""
    from ogb.nodeproppred import Evaluator

    judged = Evaluator(name).eval({"y_true": labels[:, None], "y_pred": predicted[:, None]})
    return float(judged["acc"])


def _facts(name: str) -> "pd.Series[Any]":
    """What ogb's table of its sets says of one; read without importing ogb."""
    spec = find_spec("ogb")
    assert spec is not None and spec.origin is not None
    table = Path(spec.origin).with_name("nodeproppred") / "master.csv"
    return pd.read_csv(table, index_col=0, keep_default_na=False)[name]


def _download(name: str, folder: Path, facts: "pd.Series[Any]") -> None:
    url, inner = facts["url"], facts["download_name"]
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(
            f"{folder}: expected a folder raw in it; unpack OGB's archive ({url}) there, or move "
            "what is there away, so that it is downloaded"
        )
    try:
        fetch(url, folder.parent / Path(url).name, folder, inner)
    except (InputError, RequestException, OSError) as error:
        why = str(error) if isinstance(error, InputError) else reason(error)
        raise InputError(
            f"data.root: no {name} in {folder}, and it was not downloaded ({why}). Either run this "
            f"command with a network, or unpack OGB's archive there, so that {folder}/raw exists"
        ) from None


def _binary(raw: Path) -> Raw:
    """Of ogbn-papers100M, whose arrays are in .npz files."""
    with reading(raw / "data.npz", "OGB's archive of this set"), np.load(raw / "data.npz") as data:
        edges, features = data["edge_index"], data["node_feat"].astype(np.float32, copy=False)
        if edges.min() < 0 or edges.max() >= len(features):
            wrong = edges.min() if edges.min() < 0 else edges.max()
            raise ValueError(f"expected node ids 0 to {len(features) - 1}, found {wrong}")
    path = raw / "node-label.npz"
    with reading(path, "OGB's labels"), np.load(path) as data:
        return Raw(edges, features, data["node_label"].reshape(-1))
