"""OGB node property prediction: OGB's files, splits, labels and verdict.

The files are read here: ogb's own loader asks on standard input, deletes what it deems outdated,
and needs a folder that it may write to.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from requests import RequestException
from torch import Tensor

from ..config.schema import DataConfig
from ..errors import InputError
from ..graph.csr import CSRGraph
from ..system.reading import reason
from . import ogb_files
from .dataset import UNLABELLED, NodeDataset, Split
from .directory import NO_FEATURES
from .download import fetch


def load(config: DataConfig, root: Path) -> NodeDataset:
    """ogbn-arxiv, ogbn-products or ogbn-papers100M, made undirected, with OGB's split."""
    if config.row_normalize:
        raise InputError("data.row_normalize: OGB's features are dense and signed; use null")
    facts, folder = _facts(config.name), folder_of(config.name, root)
    if not (folder / "raw").is_dir():
        _download(config.name, folder, facts)
    binary = facts["binary"] == "True"
    raw = ogb_files.read_binary(folder / "raw") if binary else ogb_files.read_kept(folder)
    if raw.features is None and config.features != "structural":
        raise InputError(
            f"{folder}: no node features; add raw/{ogb_files.FILES['features']}.gz, or "
            f"{NO_FEATURES}"
        )
    split = folder / "split" / facts["split"]
    ids = (ogb_files.read_ids(split / f"{part}.csv.gz") for part in ("train", "valid", "test"))
    labels = torch.from_numpy(raw.labels)
    source, target = raw.edges
    return NodeDataset(
        name=config.name,
        csr=CSRGraph.from_edges(source, target, len(labels)),
        features=torch.empty(len(labels), 0)
        if raw.features is None
        else torch.from_numpy(raw.features),
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
