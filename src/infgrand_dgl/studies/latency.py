"""Milliseconds until the classes of 10 nodes are known: what serving a request takes.

A student reads stored propagated features. A teacher forwards the whole graph, or the whole
neighbourhood of the nodes, fetched by DGL, whichever is faster: both are exact. Random weights:
time does not depend on them.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..benchmark.inference import repeated, sampled
from ..config import Config
from ..data import load_dataset
from ..nn.mlp import MLP
from ..nn.students import build, shape_of
from ..propagation.inputs import propagation_of, student_inputs
from ..propagation.positions import without_positions
from ..registry import methods
from ..system.runtime import Runtime, resolve_device
from ..training.evaluation import REQUEST
from ..training.teacher import build_teacher, teacher_device, teacher_inputs
from .grid import Cell

ROUNDS = 5


def latencies(cell: Cell) -> dict[tuple[str, str], float]:
    """Median milliseconds of each of the cell's models, by model and case."""
    config = cell.config
    dataset = load_dataset(config, cell.seed)
    N, D, C = dataset.num_nodes, dataset.num_features, dataset.num_classes
    device = resolve_device(config.train.device)

    gnn = build_teacher(config.teacher, D, C).to(teacher_device(config.teacher, device)).eval()
    graph, x = teacher_inputs(gnn, dataset, config.train.inputs)
    features = dataset.dense_features().to(device)
    ways: list[Callable[[Tensor], Tensor]] = [lambda nodes: gnn(graph, x)[nodes.to(device)]]
    if gnn.backend == "native":
        ways.append(partial(sampled, gnn, dataset.graph, features, fanout=-1))
    times = {("teacher", cell.case): min(_median(way, N, device) for way in ways)}

    runtime = Runtime.on(device, config.resources)
    inputs: dict[tuple[int, int], Tensor] = {}
    for name, each in cell.students.items():
        model, _, case = name.partition(", ")
        read = len(propagation_of(each).parts), positions_of(each)
        if read not in inputs:
            x = student_inputs(each, dataset, runtime)
            inputs[read] = without_positions(x, each) if positions_of(each) else x
        own = inputs[read]
        student = build(shape_of(each, own.shape[1], C)).to(device).eval()
        serve = partial(_served, student, own)
        times[model, case] = _median(serve, N, device)
    return times


def positions_of(config: Config) -> int:
    """How many numbers of a position the student reads beside the features."""
    return config.nosmog.dimension if methods[config.method].positions else 0


def _served(student: MLP, inputs: Tensor, nodes: Tensor) -> Tensor:
    return student(inputs[nodes.to(inputs.device)])


def _median(call: Callable[[Tensor], Tensor], num_nodes: int, device: torch.device) -> float:
    laps = repeated(call, num_nodes, REQUEST, device)
    laps()  # warms up
    return 1e3 * float(np.median([s for _ in range(ROUNDS) for s in laps()]))
