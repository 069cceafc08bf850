"""A run whose graph changes: inputs, influence and targets brought up to date in what it reaches.

Each update is made whole or not at all, whenever its process ends (`system.redo`).
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config.schema import Config, DataConfig
from ..data.new_rows import new_rows
from ..errors import InputError
from ..graph.changing import Edits
from ..influence.compute import influence
from ..influence.cosine import unit_rows
from ..influence.incremental import ChangedRows, updated
from ..propagation.incremental import ChangedHops
from ..propagation.inputs import propagation_of
from ..propagation.surroundings import surroundings
from ..registry import methods
from ..serving import rows_of
from ..system.arrays import dtype_name, load_array, map_array
from ..system.redo import Changes, alone
from ..system.runtime import Runtime
from ..system.writing import explained
from ..training.nearby import logits_nearby
from ..training.readings import load_teacher
from .artifacts import Stages
from .directory import GRAPH, UPDATES, RunDirectory, finish_update
from .graph_state import ROWS, STATE, GraphState, make, rows_by_id
from .judging import of_inputs

log = logging.getLogger(__name__)
NOBODY = torch.empty(0, dtype=torch.long)
CHANGED, NEW = "changed features", "features of new nodes"  # in errors


@dataclass(frozen=True)
class Update:
    """What is to change.

    Args:
        edits: of edges, and how many nodes are new.
        features: of the new nodes, `[n, D]` as `new_rows` takes them.
        changed: distinct ids of known nodes, int64 `[c]`, and
        rows: their features, `[c, D]` likewise.
        known: N, as ids of new nodes have it; None: whatever it is.
    """

    edits: Edits
    features: Any = None
    changed: Tensor = NOBODY
    rows: Any = None
    known: int | None = None

    @property
    def counts(self) -> dict[str, int]:
        e = self.edits
        counts = [len(e.added), len(e.removed), e.nodes, len(self.changed)]
        return dict(zip(("added", "removed", "nodes", "features"), counts, strict=True))


@dataclass
class Updated:
    """How many rows are others now: of the student's inputs, of influence (None: there is none),
    and of each seed's targets; and in how many seconds."""

    inputs: int = 0
    influence: int | None = None
    logits: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0


def update(run: RunDirectory, asked: Update) -> Updated:
    """Brings a run up to date with a graph that has changed.

    X~, X^(k) and the teachers' logits are computed for the rows that the change reaches
    (`propagation.incremental`, `training.nearby`), influence of its sum and its certified minimum
    (`influence.incremental`): all are what a graph with these edits gives from scratch, up to the
    order of sums. Other measures than the cosine are computed anew.

    Raises:
        InputError: edits that do not fit the graph, a run that cannot be brought up to date, or
            another process at it; nothing has changed then, or the error says what was decided on.
    """
    start = time.perf_counter()
    with changing(run) as state:
        change = _Change.of(run, state, asked)
        changes = change.computed()
        rows = asdict(change.done)
        del rows["seconds"]
        line = {"update": state.updates, "time": datetime.now(UTC).isoformat(timespec="seconds")}
        line |= asked.counts | {"rows": rows, "seconds": round(time.perf_counter() - start, 4)}
        changes.line(UPDATES, json.dumps(line))
        changes.commit()
        finish_update(run)
    change.done.seconds = time.perf_counter() - start
    return change.done


@contextmanager
def changing(run: RunDirectory) -> Iterator[GraphState]:
    """The state of a run's graph, for this process alone; made where there is none.

    Raises:
        InputError: another process is changing the run, or it cannot be written; as of `make`.
    """
    with explained(run.path, "--run"), alone(run.path, f"--run {run.path}"):
        finish_update(run)
        if run.graph.is_dir():
            yield GraphState.open(run.graph)
            return
        log.info("%s: its first update: the dataset is read", run.path)
        partial = run.graph.with_suffix(".partial")
        try:
            yield make(run, partial)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@dataclass(eq=False)
class _Change:
    """One update, of which nothing is written yet.

    Args:
        state: its graph is the changed one.
        others: ids of the nodes whose features are others now, new ones last, int64 `[b]`.
        x: these, float32 `[b, D]`.
        rows: ids of the graph's rows that are others now.
        hops: what of X^(0) to X^(K) is.
        entries: of the graph before.
        moved: whether all its rows have moved.
    """

    run: RunDirectory
    state: GraphState
    others: Tensor
    x: Tensor
    rows: Tensor
    hops: ChangedHops
    entries: int
    moved: bool
    done: Updated = field(default_factory=Updated)

    @classmethod
    def of(cls, run: RunDirectory, state: GraphState, asked: Update) -> _Change:
        graph, edits, data = state.graph, asked.edits, run.config.data
        known, entries, D = graph.num_nodes, graph.end, state.hops[0].shape[1]
        if asked.known not in (None, known):
            raise InputError(
                f"--run {run.path}: another update came before; it has {known:,} nodes"
            )
        rows_of(np.empty((known, 0)), asked.changed.numpy(), CHANGED)
        changed, new = (CHANGED, asked.rows, len(asked.changed)), (NEW, asked.features, edits.nodes)
        x = torch.cat([_features(*given, data, D) for given in (changed, new)])
        x = x.to(map_array(run.path / "propagated.npy").dtype).float()  # as a dataset keeps them
        if edits.weights is not None and graph.weights is None:
            if (edits.weights != 1).any():
                raise InputError("added edges: expected no weights: the run's graph has none")
            edits = replace(edits, weights=None)
        if graph.weights is not None and edits.weights is None and len(edits.added):
            log.warning("the added edges have no weights: each weighs 1")
        rows, moved = graph.change(edits)
        others = torch.cat([asked.changed, torch.arange(known, graph.num_nodes)])
        touched = torch.cat([rows, others]).unique()
        own = rows_by_id(state.hops[0], touched)
        own[torch.searchsorted(touched, others)] = x
        w = run.config.propagation.self_loop_weight
        hops = ChangedHops.of(graph, touched, own, state.hops, w)
        return cls(run, state, others, x, rows, hops, entries, moved)

    def computed(self) -> Changes:
        """What is to be written."""
        run, N = self.run, self.state.graph.num_nodes
        inputs, scores = self._inputs(), self._influence()
        logits = {seed: self._logits(seed) for seed in _taught(run.config)}
        self.state.updates += 1

        partial = run.graph.with_suffix(".partial")
        if partial.is_dir():
            partial.replace(run.graph)
        changes = Changes(run.path, run.graph)
        self._write_graph(changes)
        arrays = {"propagated.npy": inputs}
        arrays |= {run.key(seed, "teacher_logits.npy"): found for seed, found in logits.items()}
        for name, (ids, found) in arrays.items():
            _check_fits(run.path / name, found)
            changes.rows(name, ids.numpy(), found.numpy(), N)
        if scores is not None:
            changes.array("influence.npy", scores.numpy())
        # Those who train again must not take them for what the dataset gives.
        changed = {*arrays, "influence.npy"}
        stages = Stages(run.path).stages.items()
        left = {key: stage for key, stage in stages if not changed & set(stage["files"])}
        changes.text("stages.json", json.dumps(left, indent=1) + "\n")
        self.done.inputs = len(inputs[0])
        self.done.logits = {seed: len(ids) for seed, (ids, _) in logits.items()}
        return changes

    def hop(self, k: int) -> tuple[Tensor, Tensor]:
        """Ids, and rows of X^(k)."""
        return (self.hops.reach[k], self.hops.rows[k]) if k else (self.others, self.x)

    def _inputs(self) -> tuple[Tensor, Tensor]:
        propagation = propagation_of(of_inputs(self.run.config))
        if propagation.hops:
            return self.hops.inputs(propagation)
        return self.others, propagation.pool([self.x])

    def _influence(self) -> Tensor | None:
        """I_g of all nodes, float32 `[N]`, and the state's sums behind it."""
        path, state, config = self.run.path / "influence.npy", self.state, self.run.config
        if not path.exists():
            return None
        if state.sums is None or state.unit is None:
            dataset = replace(state.dataset(), features=self._all(0))
            scores = influence(config, dataset, Runtime.on("cpu", config.resources)).scores
        else:
            new = torch.zeros(state.graph.num_nodes - len(state.unit), state.unit.shape[1])
            x = torch.cat([state.unit, new]) if len(new) else state.unit
            x[self.others] = unit_rows(self.x)
            k = config.influence.hops
            ids, rows = self.hop(k)
            before = rows_by_id(state.hops[k], ids)
            y = ChangedRows(ids, unit_rows(before), unit_rows(rows))
            all_y = lambda: unit_rows(self._all(k))  # noqa: E731
            state.sums = updated(state.sums, x, self.others, y, all_y)
            scores = state.sums.influence(config.influence.normalization).scores
        known = torch.from_numpy(load_array(path))
        self.done.influence = int((scores[: len(known)] != known).sum()) + len(scores) - len(known)
        return scores

    def _all(self, k: int) -> Tensor:
        """X^(k) of all nodes, float32 `[N, D]`."""
        ids, rows = self.hop(k)
        x = rows_by_id(self.state.hops[k], torch.arange(self.state.graph.num_nodes))
        x[ids] = rows
        return x

    def _logits(self, seed: int) -> tuple[Tensor, Tensor]:
        """Ids of the targets that are others now, and these, `[n, C]`."""
        run, graph, known = self.run, self.state.graph, self.state.hops[0]
        teacher = run.config.replace("teacher", backend="native").teacher  # the same weights
        shape = known.shape[1], map_array(run.teacher_logits(seed)).shape[1]
        model = load_teacher(run.weights(seed, "teacher"), teacher, shape, torch.device("cpu"))
        first = self.hops.reach[0]
        ids = surroundings(graph.entries, first, teacher.layers, graph.num_nodes)[0][-1]

        def features(nodes: Tensor) -> Tensor:
            x = rows_by_id(known, nodes)
            x[: len(first)] = self.hops.rows[0]
            return x

        return ids, logits_nearby(model, graph, features, ids)

    def _write_graph(self, changes: Changes) -> None:
        state, graph, N = self.state, self.state.graph, self.state.graph.num_nodes

        def rows(name: str, ids: Tensor, values: Tensor, length: int) -> None:
            changes.rows(f"{GRAPH}/{name}.npy", ids.numpy(), values.numpy(), length)

        in_entries = ["columns"] if graph.weights is None else ["columns", "weights"]
        for name in (*ROWS, *in_entries):
            values = getattr(graph, name)
            if self.moved:
                changes.array(f"{GRAPH}/{name}.npy", values.numpy())
            elif name in ROWS:
                rows(name, self.rows, values[self.rows], N)
            else:
                written = torch.arange(self.entries, graph.end)
                rows(name, written, values[written], len(values))
        for k in range(len(self.hops.rows)):
            rows(f"hop-{k}", *self.hop(k), N)
        if state.sums is not None:
            rows("unit", self.others, unit_rows(self.x), N)
            changes.array(f"{GRAPH}/sums.npy", state.sums.each.numpy())
        changes.text(f"{GRAPH}/{STATE}", state.text())


def _taught(config: Config) -> tuple[int, ...]:
    """The seeds whose teachers were trained for students of the run."""
    students = (config.method, *config.train.baselines)
    taught = any(methods[name].needs_teacher for name in students)
    return tuple(config.train.seeds) if taught and config.teacher.logits is None else ()


def _check_fits(path: Path, rows: Tensor) -> None:
    dtype = map_array(path).dtype
    if not rows.to(dtype).isfinite().all():
        raise InputError(
            f"features: {path.name} is {dtype_name(dtype)}, in which some rows overflow"
        )


def _features(what: str, rows: Any, count: int, data: DataConfig, width: int) -> Tensor:
    """float32 `[count, D]`."""
    try:
        x = torch.empty(0, width) if rows is None else new_rows(data, rows, width)
        if len(x) != count:
            raise InputError(f"expected a row for each of {count} nodes, found {len(x)}")
    except InputError as error:
        raise InputError(f"{what}: {str(error).removeprefix('features: ')}") from None
    return x
