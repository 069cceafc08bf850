"""A run's graph as it is by now, and what its next update starts from: the folder `graph`.

    state.json                    K, where the rows end, updates so far; s and the minimum behind
                                  influence
    starts.npy, lengths.npy, degrees.npy, columns.npy, weights.npy    `ChangingGraph`'s
    hop-0.npy to hop-K.npy        X^(0) to X^(K), float32 [N, D]: of inputs and influence
    unit.npy, sums.npy            unit rows of X, float32 [N, D], and their products with s, float64
                                  [N], where influence is the cosine's
    redo/                         an update that is being made (`system.redo`)

It appears with the first update. An array is mapped, and what is written to it here stays private.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config.schema import Config
from ..data import NodeDataset, Split, load_source
from ..data.dataset import UNLABELLED
from ..errors import InputError
from ..graph.changing import ChangingGraph
from ..influence.cosine import unit_rows
from ..influence.incremental import Sums
from ..influence.minimum import MinCosine
from ..propagation.equation import Propagation
from ..propagation.inputs import propagation_of
from ..registry import measures, methods
from ..system.arrays import blocks, map_array
from ..system.reading import reading
from .directory import RunDirectory
from .judging import of_inputs

STATE, ROWS = "state.json", ("starts", "lengths", "degrees")
ALIKE = 1e-4  # of what a run keeps and what its dataset gives, relative to the largest


@dataclass(eq=False)
class GraphState:
    """
    Args:
        hops: X^(0) to X^(K).
        unit: unit rows of X, and
        sums: of them; None where influence is not the cosine's.
        updates: so far.
        made_of: the fingerprint of the dataset before all.
    """

    graph: ChangingGraph
    hops: list[Tensor]
    unit: Tensor | None
    sums: Sums | None
    updates: int
    made_of: str

    @classmethod
    def open(cls, folder: Path) -> GraphState:
        """
        Raises:
            InputError: a file is missing or damaged.
        """
        path = folder / STATE
        with reading(path, "written by update"):
            said = json.loads(path.read_text())
            K, end, found = int(said["hops"]), int(said["end"]), said["sums"]
            updates, made_of, s = int(said["updates"]), str(said["made_of"]), None
            if found is not None:
                least, given = found["minimum"], (found["drift"], found["nonnegative"])
                minimum = least and MinCosine(**least | {"pair": tuple(least["pair"])})
                s = torch.tensor(found["total"], dtype=torch.float64)

        def array(name: str) -> Tensor:
            return map_array(folder / f"{name}.npy")

        weights = array("weights") if (folder / "weights.npy").exists() else None
        starts, lengths, degrees = map(array, ROWS)
        graph = ChangingGraph(starts, lengths, degrees, array("columns"), weights, end)
        hops = [array(f"hop-{k}") for k in range(K + 1)]
        unit = sums = None
        if s is not None:
            sums, unit = Sums(s, array("sums"), minimum, *given), array("unit")
        nodes = [lengths, degrees, *hops]
        nodes += [] if sums is None or unit is None else [sums.each, unit]
        if any(len(values) != len(starts) for values in nodes) or end > len(graph.columns):
            raise InputError(f"{path}: not written by update: arrays beside it have other lengths")
        return cls(graph, hops, unit, sums, updates, made_of)

    def text(self) -> str:
        """What state.json says."""
        found = None
        if self.sums is not None:
            s = self.sums
            found = {"total": s.total.tolist(), "drift": s.drift, "nonnegative": s.nonnegative}
            found["minimum"] = None if s.minimum is None else asdict(s.minimum)
        said: dict[str, Any] = {"hops": len(self.hops) - 1, "end": self.graph.end}
        said |= {"updates": self.updates, "made_of": self.made_of, "sums": found}
        return json.dumps(said) + "\n"

    def dataset(self) -> NodeDataset:
        """The graph with its features, and no labels."""
        csr, nobody = self.graph.csr(), torch.empty(0, dtype=torch.long)
        labels, split = torch.full((csr.num_rows,), UNLABELLED), Split(nobody, nobody, nobody)
        return NodeDataset("updated", csr, self.hops[0], labels, 0, split, {})


def make(run: RunDirectory, folder: Path) -> GraphState:
    """Of the run's dataset, written to a new `folder`.

    Raises:
        InputError: the run's arrays cannot be brought up to date, or its dataset is another by now.
    """
    config = run.config
    refuse(run.path, config)
    dataset, cosine = load_source(config.data), _has_cosine(run)
    inputs, w = propagation_of(of_inputs(config)), config.propagation.self_loop_weight
    K = max(inputs.hops, config.influence.hops if cosine else 0)
    _check_size(run, dataset)
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    folder.mkdir()
    graph, hops = ChangingGraph.of(dataset.csr), [dataset.dense_features().contiguous()]
    for _ in range(K):
        hops.append(Propagation(1, w).of(dataset.csr, hops[-1]))
    _check_inputs(run, inputs, hops)
    unit = sums = None
    if cosine:
        unit = unit_rows(hops[0])
        y = unit_rows(hops[config.influence.hops])
        sums = Sums.of(unit, y, minimum=config.influence.normalization == "minmax")
    state = GraphState(graph, hops, unit, sums, 0, dataset.fingerprint)
    arrays = {name: getattr(graph, name) for name in (*ROWS, "columns", "weights")}
    arrays |= {f"hop-{k}": x for k, x in enumerate(hops)}
    arrays |= {"unit": unit, "sums": None if sums is None else sums.each}
    for name, values in arrays.items():
        if values is not None:
            np.save(folder / f"{name}.npy", values.numpy())
    (folder / STATE).write_text(state.text())
    return GraphState.open(folder)


def refuse(run: Path, config: Config) -> None:
    """
    Raises:
        InputError: an update would leave something of such a run as it was.
    """
    data, students = config.data, [config.method, *config.train.baselines]
    measure = measures[config.influence.measure]
    of_all = "is made of all nodes at once"
    reasons = {
        "data.setting: inductive": data.setting == "inductive" and "nodes see several graphs",
        "data.features: structural": data.features == "structural" and of_all,
        "data.standardize: true": data.standardize and of_all,
        "data.protocol: glnn": data.protocol == "glnn" and "has a part of the graph alone",
    }
    reasons |= {
        f"method: {name}": (methods[name].positions and "has walks over the whole graph")
        or (bool(methods[name].teacher) and "reads more of its teacher than the logits")
        for name in students
    }
    if methods[config.method].needs_influence or data.label_choice != "random":
        needs = measure.needs_teacher or measure.needs_labels
        reasons[f"influence.measure: {measure.name}"] = needs and "reads the teacher or the labels"
    for what, why in reasons.items():
        if why:
            raise InputError(
                f"--run {run}: {what}: {why}; update cannot follow it. "
                "Change the dataset, and train --overwrite"
            )


def _has_cosine(run: RunDirectory) -> bool:
    measure = measures[run.config.influence.measure]
    return measure.needs_cosine and (run.path / "influence.npy").exists()


def _check_size(run: RunDirectory, dataset: NodeDataset) -> None:
    expected = len(run.propagated(run.config.train.seeds[0]))
    if dataset.num_nodes != expected:
        raise InputError(
            f"{run.path}: its dataset is another by now: expected {expected:,} nodes, "
            f"found {dataset.num_nodes:,}"
        )


def _check_inputs(run: RunDirectory, propagation: Propagation, hops: list[Tensor]) -> None:
    """That the run's inputs are of this graph."""
    kept = map_array(run.array("propagated.npy", run.config.train.seeds[0]))
    for part, rows in blocks(kept, 1 << 14):
        made = propagation.pool([x[part] for x in hops[: propagation.hops + 1]])
        half = 10 * ALIKE if kept.dtype == torch.float16 else ALIKE
        apart = (rows.float() - made).abs().max() if made.shape == rows.shape else torch.inf
        if apart > half * (1e-30 + made.abs().max()):
            raise InputError(f"{run.path}: its dataset is another by now than its propagated.npy")


def rows_by_id(known: Tensor, ids: Tensor) -> Tensor:
    """Rows of an array that new nodes have none of: zeros, `[b, ...]`."""
    out = known.new_zeros(len(ids), *known.shape[1:])
    old = ids < len(known)
    out[old] = known[ids[old]]
    return out
