"""What the models of a seed are worth: their metrics, and their times as they would be served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..config import Config
from ..data import NodeDataset
from ..features.matrix import FeatureMatrix
from ..features.sparse import Inputs, first_layer_input
from ..nn.mlp import MLP
from ..propagation.cold import cold_inputs, without_edges
from ..system.runtime import Runtime
from ..training.calibration import temperature
from ..training.evaluation import (
    Outputs,
    Read,
    evaluate,
    milliseconds_per_1000_nodes,
    milliseconds_per_request,
    scores,
    with_production,
)
from ..training.student import outputs
from .fitting import Metrics

if TYPE_CHECKING:
    from ..nn.gnn import GNN

TIMED_NODES = 1 << 16  # of a pass whose time is reported


@dataclass(frozen=True)
class Judge:
    """
    Args:
        dataset: with its split of the seed.
        lean: by the metric alone, and no times.
    """

    config: Config
    dataset: NodeDataset
    runtime: Runtime
    lean: bool = False

    @property
    def inductive(self) -> bool:
        return self.config.data.setting == "inductive"

    def metrics(self, of_nodes: Outputs, cold: Outputs | None) -> Metrics:
        data, metric = self.config.data, self.config.train.metric
        if self.lean:
            return scores(of_nodes, self.dataset, metric)
        found = evaluate(of_nodes, self.dataset, metric, cold=cold)
        return with_production(found, data.split_rate) if data.protocol == "glnn" else found

    def teacher(
        self, logits: Tensor, of_graph: Callable[[NodeDataset], Tensor] | None = None
    ) -> Metrics:
        """
        Args:
            logits: of all nodes, `[N, C]`.
            of_graph: its logits of another graph, on the CPU; None: it is not at hand.
        """
        cold = None
        if self.inductive and of_graph is not None and not self.lean:
            alone = of_graph(without_edges(self.dataset, self.dataset.test))

            def cold(ids: Tensor, read: Read) -> Tensor:
                return read(alone)

        return self.metrics(lambda ids, read: read(logits[ids]), cold)

    def teacher_times(self, teacher: GNN, runtime: Runtime) -> Metrics:
        """Of the whole graph, and of a request: by that, or by the neighbourhood that is asked for,
        whichever is faster (both are exact).

        Args:
            runtime: its device is the teacher's.
        """
        if self.lean:
            return {}
        # And DGL, which a service does without.
        from ..training.teacher import neighbourhood_logits, teacher_inputs

        dataset, inputs = self.dataset, self.config.train.inputs
        full, N = teacher_inputs(teacher, dataset, inputs), dataset.num_nodes
        ways = [lambda ids: teacher(*full)[ids.to(runtime.device)]]
        if teacher.backend == "native":
            ways.append(neighbourhood_logits(teacher, dataset, runtime, inputs))
        return {
            "milliseconds_per_1000_nodes": milliseconds_per_1000_nodes(lambda: teacher(*full)),
            "milliseconds_per_request": min(milliseconds_per_request(way, N) for way in ways),
        }

    def student(self, student: MLP, inputs: Tensor, config: Config) -> Metrics:
        """Its metrics, its temperature, and the times of a pass over nodes that are on its device,
        in the form that the teacher's inputs have there, and of a request, whose rows are taken
        from where they are kept.

        Args:
            inputs: what it reads of all nodes, `[N, D]`.
            config: the student's own.
        """
        device, N, cold = self.runtime.device, self.dataset.num_nodes, None
        x = FeatureMatrix(inputs).to_dense()

        def of_nodes(ids: Tensor, read: Read) -> Tensor:
            return outputs(student, x, ids, device, read)

        if self.lean:
            return self.metrics(of_nodes, None)
        if self.inductive:
            made = cold_inputs(of_inputs(config), self.dataset, self.dataset.test, self.runtime)
            alone = FeatureMatrix(made).to_dense()

            def cold(ids: Tensor, read: Read) -> Tensor:
                return outputs(student, alone, torch.arange(len(ids)), device, read)

        ids = torch.arange(min(N, TIMED_NODES), device=x.device)
        kind: Inputs = "dense" if "hops" in student.shape else self.config.train.inputs
        rows = first_layer_input(x[ids], device, kind)

        def serve(ids: Tensor) -> Tensor:
            return student(x[ids.to(x.device)].to(device).float())

        calibration = {}
        if self.dataset.task != "regression":
            val = self.dataset.val
            with torch.no_grad():
                logits = of_nodes(val, lambda logits: logits)
            calibration["temperature"] = temperature(logits, self.dataset.labels[val])
        return {
            **self.metrics(of_nodes, cold),
            **calibration,
            "milliseconds_per_1000_nodes": milliseconds_per_1000_nodes(lambda: student(rows)),
            "milliseconds_per_request": milliseconds_per_request(serve, N),
        }


def of_inputs(config: Config) -> Config:
    """By which `student_inputs` makes what the student reads: X is X~ of no hops."""
    return config if config.reads_propagated else config.replace("propagation", hops=0)
