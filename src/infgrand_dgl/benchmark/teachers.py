"""The teachers that `inference` and `train` measure, on the backends there are."""

from typing import get_args

import torch

from .. import _dgl
from .._dgl import DGLGraph
from ..config import Config, TeacherConfig
from ..data import NodeDataset
from ..graph import CSRGraph

MODELS: tuple[str, ...] = get_args(TeacherConfig.model_fields["model"].annotation)


def backends() -> list[str]:
    """Those that `teacher.backend` allows; a teacher without the setting runs on DGL."""
    setting = TeacherConfig.model_fields.get("backend")
    allowed = ("dgl",) if setting is None else get_args(setting.annotation)
    return [backend for backend in ("dgl", "native") if backend in allowed]


def missing(backend: str, device: torch.device) -> str:
    """Why a backend cannot run on a device; empty where it can."""
    absent = backend == "dgl" and device.type == "cuda" and not _dgl.has_cuda()
    return "this DGL has no CUDA" if absent else ""


def configured(config: Config, model: str, backend: str) -> Config:
    chosen = {"backend": backend} if "backend" in TeacherConfig.model_fields else {}
    return config.replace("teacher", model=model, **chosen)


def graph(dataset: NodeDataset, backend: str, device: torch.device) -> DGLGraph | CSRGraph:
    return (dataset.csr if backend == "native" else dataset.graph).to(device)


def block(sampled: DGLGraph, backend: str, device: torch.device) -> DGLGraph | CSRGraph:
    """A sampled bipartite graph, as the backend takes it."""
    return (CSRGraph.from_dgl(sampled) if backend == "native" else sampled).to(device)
