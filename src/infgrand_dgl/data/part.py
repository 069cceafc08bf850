"""A dataset of some of a dataset's nodes."""

from dataclasses import replace

import scipy.sparse as sp
import torch
from torch import Tensor

from ..features.convert import from_scipy
from .dataset import NodeDataset


def part_of(dataset: NodeDataset, nodes: Tensor) -> NodeDataset:
    """The dataset of these nodes alone, ids int64 `[n]` in rising order, without a split; sparse
    features stay sparse."""
    csr, make = dataset.csr.subgraph(nodes), dataset.features_of
    return replace(
        dataset,
        csr=csr,
        features=_rows(dataset.features, nodes) if make is None else make(csr),
        labels=dataset.labels[nodes],
        split=None,
        splits=(),
        content=None,
        ids=nodes.numpy() if dataset.ids is None else dataset.ids[nodes.numpy()],
    )


def _rows(x: Tensor, nodes: Tensor) -> Tensor:
    if x.layout == torch.strided:
        return x[nodes]
    parts = (x.values().numpy(), x.col_indices().numpy(), x.crow_indices().numpy())
    return from_scipy(sp.csr_matrix(parts, x.shape)[nodes.numpy()])
