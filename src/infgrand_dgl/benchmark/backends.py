"""The backends that teachers are measured on."""

from typing import get_args

import torch

from ..data import NodeDataset
from ..graph import dgl_bridge
from ..graph.csr import CSRGraph
from ..graph.dgl_bridge import DGLGraph
from ..nn.gnn import Backend

BACKENDS: tuple[str, ...] = get_args(Backend)


def missing(backend: str, device: torch.device) -> str:
    """Why a backend cannot run on a device; empty where it can."""
    absent = backend == "dgl" and device.type == "cuda" and not dgl_bridge.has_cuda()
    return "this DGL has no CUDA" if absent else ""


def graph(dataset: NodeDataset, backend: str, device: torch.device) -> DGLGraph | CSRGraph:
    return (dataset.csr if backend == "native" else dataset.graph).to(device)


def block(sampled: DGLGraph, backend: str, device: torch.device) -> DGLGraph | CSRGraph:
    """A sampled bipartite graph, as the backend takes it."""
    return (CSRGraph.from_dgl(sampled) if backend == "native" else sampled).to(device)
