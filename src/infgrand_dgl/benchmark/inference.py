"""`benchmark inference`: classes of one node, 10, 1000 and all, by the student and by teachers.

The student reads stored propagated features. A teacher runs on the whole graph, whatever the
number of nodes asked for, or on a neighbourhood of theirs that DGL samples. Random weights: time
does not depend on them.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..config.schema import Config
from ..data import NodeDataset
from ..graph.dgl_bridge import DGLGraph, dgl
from ..nn.gnn import GNN
from ..nn.mlp import MLP
from ..propagation.equation import propagate_features
from ..registry import teachers as registered
from ..training.teacher import INFERRED, build_teacher
from . import teachers
from .harness import Contender, Row, waited

BATCHES = (1, 10, 1000)  # and all
FANOUT = 10  # neighbours per node and layer
CHUNK = 1000  # nodes whose neighbourhoods are sampled at once
ROUND = 0.1  # seconds; short calls are repeated so long in every round
SEED = 0
NOTE = (
    "random weights; *_full forwards the whole graph, *_sampled 10 neighbours per layer, in "
    "pieces of 1000 nodes; seconds per call, its nodes drawn afresh"
)


def size(config: Config) -> Row:
    t = config.teacher
    return {"layers": t.layers, "hidden": t.hidden, "sampled_neighbours_per_layer": FANOUT}


def contenders(config: Config, dataset: NodeDataset, device: torch.device) -> list[Contender]:
    N, C, s, p = dataset.num_nodes, dataset.num_classes, config.student, config.propagation
    x = dataset.dense_features().to(device)
    inputs = propagate_features(
        dataset.csr.to(device),
        x,
        hops=p.hops,
        pooling=p.pooling,
        self_loop_weight=p.self_loop_weight,
    )
    student = MLP(x.shape[1], s.hidden, C, layers=s.layers, norm=s.norm).to(device).eval()
    backend = config.teacher.backend
    missing, graph = teachers.missing(backend, device), None
    methods: dict[str, Callable[[Tensor], Tensor]] = {
        "student": lambda nodes: student(inputs[nodes.to(device)])
    }
    backends: dict[str, str] = {}
    for name in (teacher.name for teacher in registered.in_order()):
        chosen = teachers.configured(config, name, backend).teacher
        model = build_teacher(chosen, x.shape[1], C).to(device).eval()
        if graph is None and not missing:
            graph = teachers.graph(dataset, model.backend, device)
        methods[f"{name}_full"] = partial(full, model, graph, x)
        methods[f"{name}_sampled"] = partial(sampled, model, dataset.graph, x)
        backends |= {f"{name}_full": model.backend, f"{name}_sampled": model.backend}

    def needs(method: str, batch: int) -> int:
        """Rows that are forwarded, by what is held of each."""
        if method == "student":
            return 4 * batch * (x.shape[1] + 2 * max(s.hidden, C))
        t = config.teacher
        rows = N if method.endswith("full") else min(batch, CHUNK) * (FANOUT + 1) ** t.layers
        return 4 * min(N, rows) * INFERRED * max(t.hidden, C)

    def contender(method: str, batch: int) -> Contender:
        run = repeated(methods[method], N, batch, device)
        backend = {"backend": backends[method]} if method in backends else {}
        return Contender(
            method,
            lambda: run,
            lambda result: backend,
            needs=needs(method, batch),
            missing=missing if backend else "",
            columns={"batch": "all" if batch == N else batch},
            laps=True,
        )

    return [contender(m, batch) for batch in [b for b in BATCHES if b < N] + [N] for m in methods]


def full(model: GNN, graph: object, x: Tensor, nodes: Tensor) -> Tensor:
    return model(graph, x)[nodes.to(x.device)]


def sampled(model: GNN, graph: DGLGraph, x: Tensor, nodes: Tensor, fanout: int = FANOUT) -> Tensor:
    sampler = dgl.dataloading.NeighborSampler([fanout] * len(model.layers))
    parts = []
    for seeds in nodes.split(CHUNK):
        sources, _, blocks = sampler.sample_blocks(graph, seeds)
        moved = [teachers.block(block, model.backend, x.device) for block in blocks]
        parts.append(model(moved, x[sources.to(x.device)]))
    return torch.cat(parts)


def repeated(
    call: Callable[[Tensor], Tensor], num_nodes: int, batch: int, device: torch.device
) -> Callable[[], list[float]]:
    """Seconds of each call, for as long as a round takes; every call has other nodes."""
    rng = np.random.default_rng(SEED)

    @torch.inference_mode()
    def run() -> list[float]:
        seconds: list[float] = []
        while sum(seconds) < ROUND:
            nodes = torch.from_numpy(rng.choice(num_nodes, size=batch, replace=False))
            seconds.append(waited(partial(call, nodes), device)[0])
        return seconds

    return run
