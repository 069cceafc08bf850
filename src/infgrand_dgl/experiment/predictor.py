"""A run's student, asked about nodes of its graph, and about nodes that join it."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config.schema import Config
from ..data import NodeDataset, Split, load_source
from ..data.new_rows import new_rows
from ..data.scaling import Columns
from ..data.splits import with_observed
from ..errors import InputError
from ..features.sparse import SparseMatrix, row_source
from ..graph.weights import as_array, checked
from ..propagation.equation import Propagation
from ..propagation.inputs import propagation_of, student_inputs
from ..propagation.joining import Joined, places_of
from ..registry import methods
from ..serving import load_classes, load_task, predict, rows_of
from ..system.arrays import map_array
from ..system.runtime import Runtime
from ..system.writing import check_writable, save_array
from .artifacts import Stages, fingerprint
from .directory import RunDirectory
from .graph_state import GraphState
from .judging import of_inputs

TOGETHER = 1 << 14  # new nodes whose surroundings are read together
HOPS = "hops.npy"


class Predictor:
    """Predictions of one seed's student.

    Each is float32 `[n, C]`: probabilities of the classes, or of each label by itself
    (multilabel), or numbers (regression). `stored` reads rows that the run keeps, and no graph. The
    others load the run's dataset, once, and take the whole graph as it is, whatever training saw:
    where the run was updated, as updates have left it.

    Args:
        seed: whose student; by default the one that is best on validation.
        calibrated: probabilities at the temperature that fits the validation nodes.

    Attributes:
        classes: codes or names by output, `[C]`; None: the outputs' numbers.
        task: "classification", "multilabel" or "regression".
        num_nodes: N.
        ids: as of `RunDirectory.ids`.
        num_features: D, of the dataset's files; loads it.

    Raises:
        InputError: no such seed, or a file of the run is missing or damaged; no temperature.
    """

    def __init__(
        self, run: RunDirectory, seed: int | None = None, *, calibrated: bool = False
    ) -> None:
        self.run, self.seed = run, run.best_seed() if seed is None else seed
        self.student, file = run.student(self.seed), run.weights(self.seed, "student")
        self.classes, self.task = load_classes(file), load_task(file)
        self.inputs = run.propagated(self.seed)
        self.temperature = run.temperature(self.seed) if calibrated else 1.0
        self.num_nodes, self.ids = len(self.inputs), run.ids

    @classmethod
    def open(
        cls, path: Path | str, seed: int | None = None, *, calibrated: bool = False
    ) -> Predictor:
        """Of a run directory."""
        return cls(RunDirectory.open(Path(path)), seed, calibrated=calibrated)

    @property
    def num_features(self) -> int:
        return self.graph.dataset.num_features

    def stored(self, nodes: Any = None) -> np.ndarray:
        """Of the run's own nodes.

        Args:
            nodes: ids `[n]`, any integers, as often as wanted; None: all.

        Raises:
            InputError: they are no ids.
        """
        rows = self.inputs if nodes is None else rows_of(self.inputs, _ids(nodes), "nodes")
        return self._said(rows)

    def new(
        self, features: Any, edges: Any = None, weights: Any = None, *, cached: bool = False
    ) -> np.ndarray:
        """Of n nodes that join the graph together: ids N to N + n - 1.

        Args:
            features: numbers `[n, D]` as the dataset's files have them (`data.row_normalize` and
                `data.standardize` are applied): a tensor, an array, or a sparse matrix.
            edges: integers `[m, 2]`, each an undirected edge of a new node with a known or another
                new one; None or none: they come without neighbours.
            weights: numbers `[m]` where the graph has weights; None: 1.
            cached: by what the run stores of their neighbours (`propagation.joining`), with one
                small gather; else exactly what adding them and propagating gives, by all nodes
                within P hops. The first time `hops.npy` is written into the run.

        Raises:
            InputError: shapes, ids or numbers that do not fit; features that are made of the graph.
        """
        graph = self.graph
        x, ends = graph.prepared(features), _edges(edges)
        given = None if weights is None else _weights(weights, len(ends))
        joined = Joined.of(graph.dataset.csr, graph.rows, x, ends, given)
        if cached:
            inputs = joined.cached(graph.propagation, self._hops)
        else:
            parts = joined.ids.split(TOGETHER)
            inputs = torch.cat([joined.exact(graph.propagation, ids) for ids in parts])
        if graph.dimension:
            inputs = torch.cat([inputs, joined.means(self._positions)], dim=1)
        return self._said(inputs.numpy())

    def changed(self, nodes: Any, features: Any) -> np.ndarray:
        """Of known nodes, were their features these: together, and in the graph as it is.

        Args:
            nodes: distinct ids `[n]`.
            features: numbers `[n, D]`, as of `new`.

        Raises:
            InputError: as of `new`; ids that are none or there twice.
        """
        graph, ids = self.graph, _ids(nodes)
        rows_of(self.inputs[:, :0], ids, "nodes")
        x = graph.prepared(features)
        ordered, order = torch.from_numpy(ids.astype(np.int64)).sort()
        if len(x) != len(ids):
            raise InputError(
                f"features: expected a row for each of {len(ids)} nodes, found {len(x)}"
            )
        if (ordered[1:] == ordered[:-1]).any():
            twice = int(ordered[1:][ordered[1:] == ordered[:-1]][0])
            raise InputError(f"nodes: expected each once, found {twice} twice")

        def rows(wanted: Tensor) -> Tensor:
            out = graph.rows(wanted)
            place = places_of(ordered, wanted)
            here = place >= 0
            out[here] = x[order[place[here]]]
            return out

        nobody = torch.empty(0, graph.dataset.num_features)
        joined = Joined.of(graph.dataset.csr, rows, nobody, _edges(None))
        inputs = joined.exact(graph.propagation, ordered)[order.argsort()]
        if graph.dimension:
            own = self.inputs[ids.astype(np.int64), -graph.dimension :]
            inputs = torch.cat([inputs, torch.from_numpy(own).float()], dim=1)
        return self._said(inputs.numpy())

    def _said(self, inputs: np.ndarray) -> np.ndarray:
        said = predict(self.student, inputs, self.task, temperature=self.temperature)
        return said.numpy()

    @cached_property
    def _updated(self) -> GraphState | None:
        """What updates have made of the graph, where there were some."""
        return GraphState.open(self.run.graph) if self.run.graph.is_dir() else None

    @cached_property
    def graph(self) -> Surroundings:
        """Loaded when it is first asked for."""
        if self._updated is not None:
            graph = Surroundings(self.run.config, self._updated.dataset(), None)
        else:
            graph = Surroundings.of(self.run.config, self.seed)
        found, expected = graph.dataset.num_nodes, self.num_nodes
        if self._updated is not None and found != expected:
            raise InputError(f"{self.run.path}: was updated meanwhile; open it again")
        if found != expected or graph.width != self.student.shape["in_features"]:
            raise InputError(
                f"{self.run.path}: its dataset is another by now: expected {expected:,} nodes and "
                f"inputs of {self.student.shape['in_features']}, found {found:,} and {graph.width}"
            )
        return graph

    def _positions(self, ids: Tensor) -> Tensor:
        """NaN of nodes that training did not see: theirs are means already."""
        graph = self.graph
        found = torch.from_numpy(self.inputs[ids.numpy(), -graph.dimension :]).float()
        observed = graph.dataset.parts.observed
        if observed is not None:
            found[~torch.isin(ids, observed)] = torch.nan
        return found

    def _hops(self, ids: Tensor) -> Tensor:
        """X^(0) to X^(P-1) side by side of known nodes, from the run's files."""
        if self._updated is not None:
            hops = self._updated.hops[: self.graph.propagation.hops]
            return torch.cat([x[ids] for x in hops], dim=1)
        return self._stored_hops[ids].float()

    @cached_property
    def _stored_hops(self) -> Tensor:
        """Made anew where the run's file is of another graph, or damaged."""
        graph, config, name = self.graph, self.run.config, HOPS
        if config.data.standardize and config.data.setting == "inductive":
            name = self.run.key(self.seed, HOPS)
        path, stages = self.run.path / name, Stages(self.run.path)
        hops = replace(graph.propagation, hops=graph.propagation.hops - 1, pooling=None)
        nobody = torch.empty(0, dtype=torch.long)  # is hidden
        whole = replace(graph.dataset, split=Split(nobody, nobody, nobody))
        made_of = fingerprint("hops", whole.fingerprint, hops.hops, hops.self_loop_weight)
        stage = name.removesuffix(".npy")
        if stages.finished(stage, made_of) is None:
            check_writable(path, "--cached")
            path.unlink(missing_ok=True)
            runtime = Runtime.on("cpu", config.resources)
            made = student_inputs(config, whole, runtime, out=path, propagation=hops)
            if not path.exists():
                save_array(path, made)
            stages.finish(stage, made_of, [name], {})
        return map_array(path)


class Surroundings:
    """A run's graph as newcomers find it.

    Attributes:
        dataset: whole, with its features as the student's inputs were made of them.
        propagation: of the student's inputs.
        dimension: of positions beside them; 0: none.
    """

    def __init__(self, config: Config, dataset: NodeDataset, columns: Columns | None) -> None:
        self.config, self.dataset, self.columns = config, dataset, columns
        self.propagation: Propagation = propagation_of(of_inputs(config))
        placed = methods[config.method].positions
        self.dimension = config.nosmog.dimension if placed else 0
        self._source = row_source(dataset.matrix)

    @classmethod
    def of(cls, config: Config, seed: int) -> Surroundings:
        data = config.data
        if data.features == "structural":
            raise InputError(
                "data.features: structural: are made of the whole graph; `infgrand-dgl propagate` "
                "the graph that has the new nodes, and `predict --propagated`"
            )
        if not data.standardize:
            return cls(config, with_observed(load_source(data), data, seed), None)
        if data.prepared is not None:
            raise InputError(
                "data.standardize: a prepared folder has not kept the scales of columns; new nodes "
                "need a run without data.prepared"
            )
        plain = config.replace("data", standardize=False).data
        dataset = with_observed(load_source(plain), plain, seed)
        columns = Columns.of(dataset.observed_view().matrix)
        if dataset.matrix.is_sparse:  # which is divided alone
            columns = replace(columns, mean=torch.zeros_like(columns.mean))
        return cls(config, replace(dataset, features=columns.applied(dataset.features)), columns)

    @property
    def width(self) -> int:
        """Of the student's inputs."""
        return len(self.propagation.parts) * self.dataset.num_features + self.dimension

    def rows(self, ids: Tensor) -> Tensor:
        """X, float32 `[b, D]`."""
        rows = self._source[ids]
        return rows.to_dense().float() if isinstance(rows, SparseMatrix) else rows.float()

    def prepared(self, features: Any) -> Tensor:
        """As `new_rows`, standardized where the dataset's are."""
        x = new_rows(self.config.data, features, self.dataset.num_features)
        return x if self.columns is None else self.columns.applied(x)


def _weights(weights: Any, edges: int) -> Tensor:
    try:
        return torch.from_numpy(checked(as_array(weights), edges))
    except InputError as error:
        raise InputError(str(error).replace("graph:", "weights:", 1)) from None


def _ids(nodes: Any) -> np.ndarray:
    ids = as_array(nodes)
    return ids if ids.size else ids.astype(np.int64)


def _edges(edges: Any) -> Tensor:
    if edges is None:
        return torch.empty(0, 2, dtype=torch.long)
    values = as_array(edges)
    if values.ndim == 2 and values.shape[1] == 2 and values.dtype.kind in "iu":
        return torch.from_numpy(values.astype(np.int64))
    if values.size == 0:
        return torch.empty(0, 2, dtype=torch.long)
    raise InputError(f"edges: expected integers [m, 2], found {values.dtype} {list(values.shape)}")
