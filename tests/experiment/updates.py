"""A run on a small graph of one's own, random updates of it, and what the graph gives from scratch."""

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from infgrand_dgl.config.schema import Config
from infgrand_dgl.data import NodeDataset, Split
from infgrand_dgl.data.new_rows import new_rows
from infgrand_dgl.experiment.directory import RunDirectory
from infgrand_dgl.experiment.judging import of_inputs
from infgrand_dgl.experiment.train import train
from infgrand_dgl.experiment.updating import Update, update
from infgrand_dgl.influence.compute import influence
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.propagation.inputs import propagation_of
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training.readings import load_teacher
from tests.graph.changing import Edges
from tests.tasks import write

D = 6


class Updates:
    """
    Args:
        signed: features; else counts, many of them 0.
    """

    def __init__(
        self,
        folder,
        task: str = "classification",
        nodes: int = 240,
        weighted: bool = False,
        signed: bool = True,
        **sections: Any,
    ) -> None:
        self.root = write(folder / "graph", task, nodes)
        self.edges = Edges(nodes, 0, weighted)
        ends = np.load(self.root / "edges.npy")
        pairs = sorted({(int(min(e)), int(max(e))) for e in ends})
        np.save(self.root / "edges.npy", np.array(pairs))
        weights = self.edges.add(pairs)
        if weighted:
            np.save(self.root / "weights.npy", weights)
        if not signed:
            np.save(self.root / "features.npy", self.features(nodes, signed=False))
        self.signed, self.x = signed, np.load(self.root / "features.npy")
        made: dict[str, dict[str, Any]] = {
            "data": {"name": "directory", "root": str(self.root), "task": task},
            "teacher": {"hidden": 8},
            "student": {"hidden": 8, "weight_decay": 0.0},
            "train": {"epochs": 3, "seeds": [1], "device": "cpu"},
        }
        method = sections.pop("method", "infgrand")
        given = made | {name: made.get(name, {}) | values for name, values in sections.items()}
        self.config = Config.model_validate(given | {"method": method})
        train(self.config, folder / "run", report=Reporter(quiet=True))
        self.out = folder / "run"

    @property
    def run(self) -> RunDirectory:
        return RunDirectory.open(self.out)

    def features(self, count: int, signed: bool | None = None) -> np.ndarray:
        if self.signed if signed is None else signed:
            return np.random.randn(count, D).astype(np.float32)
        x = np.random.randint(0, 3, (count, D)) * (np.random.rand(count, D) < 0.5)
        return x.astype(np.float32)

    def asked(self, add: int = 2, remove: int = 2, nodes: int = 0, change: int = 0) -> Update:
        """A random update, which is made here too."""
        known = self.edges.nodes
        edits = self.edges.edits(add, remove, nodes)
        new, ids = self.features(nodes), np.random.permutation(known)[:change]
        rows = self.features(change)
        self.x = np.concatenate([self.x, new])
        self.x[ids] = rows
        given = sp.csr_matrix(new) if nodes and np.random.rand() < 0.5 else new
        return Update(edits, given, torch.from_numpy(ids), rows)

    def update(self, **counts: int):
        return update(self.run, self.asked(**counts))

    def scratch(self) -> dict[str, np.ndarray]:
        """By name of the run's file: inputs, influence, targets of each seed."""
        config, csr = self.run.config, self.edges.csr()
        x = new_rows(config.data, self.x, D)
        found = {"propagated.npy": propagation_of(of_inputs(config)).of(csr, x)}
        if (self.out / "influence.npy").exists():
            scores = influence(config, alone(csr, x), Runtime.on("cpu")).scores
            found["influence.npy"] = scores
        for seed in config.train.seeds:
            path = self.run.weights(seed, "teacher")
            if path.exists():
                shape = D, np.load(self.run.teacher_logits(seed), mmap_mode="r").shape[1]
                model = load_teacher(path, config.teacher, shape, torch.device("cpu"))
                graph = csr if model.backend == "native" else csr.to_dgl()
                with torch.no_grad():
                    found[f"seed-{seed}/teacher_logits.npy"] = model(graph, x)
        return {name: values.numpy() for name, values in found.items()}

    def check(self, tolerance: float = 1e-6) -> None:
        """All arrays of the run are those from scratch, relative to the largest number of each."""
        for name, expected in self.scratch().items():
            found = np.load(self.out / name)
            assert found.shape == expected.shape
            scale = max(1.0, np.abs(expected).max())
            np.testing.assert_allclose(
                found, expected, rtol=0, atol=tolerance * scale, err_msg=name
            )


def alone(csr, x) -> NodeDataset:
    """A graph without labels."""
    nobody = torch.empty(0, dtype=torch.long)
    labels = torch.full((csr.num_rows,), -1)
    return NodeDataset("scratch", csr, x, labels, 1, Split(nobody, nobody, nobody), {})
