"""Cold start: nodes that come without any edge when they are asked about."""

from dataclasses import replace

import torch
from torch import Tensor

from ..config.schema import Config
from ..data.dataset import NodeDataset, Split
from ..graph.csr import CSRGraph
from ..registry import methods
from ..system.runtime import Runtime
from .inputs import student_inputs
from .positions import without_positions


def without_edges(dataset: NodeDataset, nodes: Tensor) -> NodeDataset:
    """Some nodes, int64 `[n]`, with their own features and labels, each with a self-loop alone.

    Features that are made of the graph are those of a node without neighbours.
    """
    n, make = len(nodes), dataset.features_of
    ones = None if dataset.csr.weights is None else torch.ones(n)
    loops = CSRGraph(
        torch.arange(n + 1), torch.arange(n, dtype=torch.int32), n, symmetric=True, weights=ones
    )
    none = torch.empty(0, dtype=torch.long)
    return replace(
        dataset,
        csr=loops,
        features=dataset.matrix.gather(nodes) if make is None else make(loops),
        labels=dataset.labels[nodes],
        content=None,
        ids=None,
        split=Split(none, none, none),
        splits=(),
    )


def cold_inputs(config: Config, dataset: NodeDataset, nodes: Tensor, runtime: Runtime) -> Tensor:
    """What a student reads of nodes without edges, `[n, D]`: every hop of one is its own features
    (with a self-loop of weight 0 the first alone); where it reads positions too, theirs are 0."""
    x = student_inputs(config, without_edges(dataset, nodes), runtime)
    return without_positions(x, config) if methods[config.method].positions else x
