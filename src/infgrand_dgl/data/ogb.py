"""OGB node property prediction through the ogb package: its loader, splits and labels."""

import contextlib
import sys
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor

from ..config.schema import DataConfig
from ..errors import InputError
from ..graph import dgl_bridge  # noqa: F401  ogb imports DGL itself: the workaround must come first
from ..graph.csr import CSRGraph
from ..system.reading import reason
from .dataset import UNLABELLED, NodeDataset, Split


def load(config: DataConfig, root: Path) -> NodeDataset:
    """ogbn-arxiv, ogbn-products or ogbn-papers100M, made undirected, with OGB's split."""
    if config.row_normalize:
        raise InputError("data.row_normalize: OGB's features are dense and signed; use null")
    from ogb.nodeproppred import DglNodePropPredDataset

    folder = root / config.name.replace("-", "_")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            raw = DglNodePropPredDataset(config.name, root=str(root))
        g, labels = raw[0]
        split = raw.get_idx_split()
    # ogb asks on the terminal before a large download, and exits where nobody answers.
    except (Exception, SystemExit) as error:
        if (folder / "raw").is_dir() and not isinstance(error, (URLError, SystemExit)):
            raise InputError(f"{folder}: not readable as {config.name} ({reason(error)})") from None
        raise InputError(
            f"data.root: no {config.name} in {folder}, and it was not downloaded "
            f"({type(error).__name__}). Either run this command in a terminal with a network and "
            f"confirm ogb's download, or unpack OGB's archive there, so that {folder}/raw exists"
        ) from None
    if "feat" not in g.ndata:  # which ogb has stored by now
        raise InputError(
            f"{folder}: no node features; add raw/node-feat.csv.gz and delete {folder}/processed"
        )
    source, target = (ids.numpy() for ids in g.edges())
    labels = labels.flatten()
    return NodeDataset(
        name=config.name,
        csr=CSRGraph.from_edges(source, target, g.num_nodes()),
        features=g.ndata["feat"].float().contiguous(),
        labels=torch.where(labels.isnan(), UNLABELLED, labels).long(),
        num_classes=raw.num_classes,
        split=Split(*(torch.as_tensor(split[part]) for part in ("train", "valid", "test"))),
        provenance={"source": "ogb", "files": str(folder), "split": "official"},
    )


def accuracy(name: str, predicted: Tensor, labels: Tensor) -> float:
    """OGB's own verdict on the predicted classes of nodes with `labels`, both `[n]`."""
    from ogb.nodeproppred import Evaluator

    judged = Evaluator(name).eval({"y_true": labels[:, None], "y_pred": predicted[:, None]})
    return float(judged["acc"])
