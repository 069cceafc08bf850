"""`benchmark inference`: classes of one node, 10, 1000 and all, by the student and by teachers.

The student reads stored propagated features. A teacher runs on the whole graph, whatever the
number of nodes asked for, or on a neighbourhood of theirs that DGL samples. Random weights: time
does not depend on them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..config.schema import Config
from ..data import NodeDataset
from ..graph.dgl_bridge import DGLGraph, dgl
from ..nn.gnn import GNN
from ..nn.students import build, inner_width, shape_of
from ..propagation.inputs import propagation_of
from ..registry import teachers
from ..training.teacher import INFERRED, build_teacher
from . import backends
from .harness import Contender, waited

BATCHES = (1, 10, 1000)  # and all
FANOUT = 10  # neighbours per node and layer
CHUNK_NODES = 1000  # nodes whose neighbourhoods are sampled at once
ROUND = 0.1  # seconds; short calls are repeated so long in every round
SEED = 0


@dataclass(frozen=True)
class Way:
    """One way to the classes of nodes.

    Args:
        call: node ids `[B]` to logits `[B, C]`.
        needs: B to the bytes of a call.
        backend: of a teacher.
        missing: why a teacher cannot run here.
    """

    method: str
    call: Callable[[Tensor], Tensor]
    needs: Callable[[int], int]
    backend: str = ""
    missing: str = ""


def contenders(config: Config, dataset: NodeDataset, device: torch.device) -> list[Contender]:
    """Every way, on every number of nodes."""
    N, x = dataset.num_nodes, dataset.dense_features().to(device)
    ways = [_student(config, dataset, x), *teachers_of(config, dataset, x)]

    def contender(way: Way, batch: int) -> Contender:
        run = repeated(way.call, N, batch, device)
        return Contender(
            way.method,
            lambda: run,
            lambda result: {"backend": way.backend} if way.backend else {},
            needs=way.needs(batch),
            missing=way.missing,
            columns={"batch": "all" if batch == N else batch},
            laps=True,
        )

    return [contender(way, batch) for batch in [b for b in BATCHES if b < N] + [N] for way in ways]


def _student(config: Config, dataset: NodeDataset, x: Tensor) -> Way:
    C = dataset.num_classes
    inputs = propagation_of(config).of(dataset.csr.to(x.device), x)
    shape = shape_of(config, inputs.shape[1], C)
    student = build(shape).to(x.device).eval()
    floats = inputs.shape[1] + 2 * max(inner_width(shape), C)  # that are held of a node
    return Way(
        "student",
        lambda nodes: student(inputs[nodes.to(x.device)]),
        lambda batch: 4 * batch * floats,
    )


def teachers_of(config: Config, dataset: NodeDataset, x: Tensor) -> Iterator[Way]:
    """Each on the whole graph, and on sampled neighbourhoods."""
    N, C, t = dataset.num_nodes, dataset.num_classes, config.teacher
    missing, graph = backends.missing(t.backend, x.device), None
    row = 4 * INFERRED * max(t.hidden, C)  # bytes that are held of a node

    def sampled_bytes(batch: int) -> int:
        return row * min(N, min(batch, CHUNK_NODES) * (FANOUT + 1) ** t.layers)

    for teacher in teachers.in_order():
        chosen = config.replace("teacher", model=teacher.name).teacher
        model = build_teacher(chosen, x.shape[1], C).to(x.device).eval()
        if graph is None and not missing:
            graph = backends.graph(dataset, model.backend, x.device)
        ways = {
            "full": (partial(full, model, graph, x), lambda batch: row * N),
            "sampled": (partial(sampled, model, dataset.graph, x), sampled_bytes),
        }
        for how, (call, needs) in ways.items():
            yield Way(f"{teacher.name}_{how}", call, needs, model.backend, missing)


def full(model: GNN, graph: object, x: Tensor, nodes: Tensor) -> Tensor:
    return model(graph, x)[nodes.to(x.device)]


def sampled(model: GNN, graph: DGLGraph, x: Tensor, nodes: Tensor, fanout: int = FANOUT) -> Tensor:
    sampler = dgl.dataloading.NeighborSampler([fanout] * len(model.layers))
    parts = []
    for seeds in nodes.split(CHUNK_NODES):
        sources, _, blocks = sampler.sample_blocks(graph, seeds)
        moved = [backends.block(block, model.backend, x.device) for block in blocks]
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
