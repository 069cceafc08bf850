"""NodeDataset: one graph for node classification, and what of it a run may see."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from ..config.fields import Task
from ..errors import InputError, check_choice
from ..features.convert import as_features
from ..features.matrix import FeatureMatrix
from ..graph.convert import GraphLike, edges_of
from ..graph.csr import CSRGraph
from ..system.arrays import dtype_name, release, slices
from .labels import UNLABELLED as UNLABELLED
from .labels import Classes, labelled, read_labels
from .masks import given_splits
from .split import PARTS as PARTS
from .split import Split as Split
from .structural import structural_features

if TYPE_CHECKING:
    from ..graph.dgl_bridge import DGLGraph


@dataclass(frozen=True)
class NodeDataset:
    """A graph with features, labels and a split.

    Args:
        name: as in `data.name`.
        csr: undirected and simple, one self-loop per node.
        features: `[N, D]`, float32, or a 16-bit type in a prepared dataset; dense (memory-mapped
            in a prepared one), or sparse CSR where few are non-zero.
        labels: of classification int64 `[N]`, in `[0, num_classes)`, -1 for none; of multilabel
            (0 and 1) and regression float32 `[N, C]`, NaN for none.
        num_classes: C, of classes, labels or numbers.
        split: which nodes train, validate and test; None until it is chosen or drawn for a seed.
        provenance: where the data came from.
        content: stands for all but the split in `fingerprint`; None: the arrays themselves.
        classes: codes or names of the classes in the user's files; None: they are 0 to C-1.
        splits: where the dataset comes with several; `split` is one of them, or None.
        lacks: why nothing can be trained on it, in the words of an error; None: it can.
        task: what the labels are.
        features_of: makes the features of a graph where they are made of it; None: they belong to
            the nodes.
        ids: of the nodes where the data came from, distinct integers or text `[N]`; None: their
            rows, 0 to N-1.
    """

    name: str
    csr: CSRGraph
    features: Tensor
    labels: Tensor
    num_classes: int
    split: Split | None
    provenance: dict[str, Any]
    content: str | None = None
    classes: Classes | None = None
    splits: tuple[Split, ...] = ()
    lacks: str | None = None
    task: Task = "classification"
    features_of: Callable[[CSRGraph], Tensor] | None = None
    ids: np.ndarray | None = None

    @property
    def labelled(self) -> Tensor:
        """Which nodes have a label, of several at least one; bool `[N]`."""
        return labelled(self.labels)

    @property
    def class_names(self) -> list[str]:
        """By which people know the classes."""
        return [str(each) for each in self.classes or range(self.num_classes)]

    @classmethod
    def from_arrays(
        cls,
        graph: GraphLike,
        features: Any,
        labels: Any,
        split: Split | Mapping[str, Any] | Sequence[Split | Mapping[str, Any]] | None = None,
        *,
        name: str = "arrays",
        task: Task | Literal["auto"] = "auto",
    ) -> NodeDataset:
        """A dataset of what a program holds, checked.

        Args:
            graph: of any kind that `influence_scores` takes; each edge stands for both directions,
                its weights as in `convert.as_csr`.
            features: numbers `[N, D]`: a tensor, an array, or a sparse matrix of either library;
                None: made of the graph (`structural.structural_features`).
            labels: numbers, codes or names of classes `[N]`; several labels a node, `[N, C]` of 0,
                1 and NaN; or numbers, `[N]` or `[N, C]`: what `labels.read_labels` takes, of
                NumPy, torch or a list; -1, NaN or empty where there is none.
            split: node ids, or what `masks.given_splits` takes for them; or several splits, of
                which `data.split` takes one; None: drawn for each seed.
            task: what the labels are; auto: what they look like.

        Raises:
            InputError: shapes that do not fit, ids or labels out of range, numbers that are not
                finite, a graph or task of another kind.
        """
        check_choice("task", task, ["auto", *get_args(Task)])
        if isinstance(labels, Tensor):
            labels = labels.detach().cpu()
            labels = labels.float() if labels.dtype == torch.bfloat16 else labels
        try:
            y = np.asarray(labels)
        except ValueError:
            expected = "expected labels [N] or [N, C], found rows of several lengths"
            raise InputError(f"labels: {expected}") from None
        values, C, classes, of = read_labels(y, "labels", task)
        x = None if features is None else as_features(features)
        source, target, N, _, weights = edges_of(graph, len(values if x is None else x))
        csr = CSRGraph.from_edges(source, target, N, weights)
        given = {"source": "arrays", "split": "drawn" if split is None else "given"}
        several = given_splits(split, N, f"{name}: ")
        one, several = (several[0], ()) if len(several) == 1 else (None, several)
        stored = torch.empty(N, 0) if x is None else x
        made = cls(
            name, csr, stored, values, C, one, given, classes=classes, splits=several, task=of
        )
        if x is None:
            made = made.with_features_of(structural_features)
        check(made, name)
        for each in several if one is None else [one]:
            check_split(each, N, name)
            check_labels(each, values, name)
        return made

    @property
    def parts(self) -> Split:
        if self.split is None:
            raise RuntimeError(f"{self.name}: the split was not drawn yet; use with_split")
        return self.split

    @property
    def train(self) -> Tensor:
        return self.parts.train

    @property
    def val(self) -> Tensor:
        return self.parts.val

    @property
    def test(self) -> Tensor:
        return self.parts.test

    @property
    def num_nodes(self) -> int:
        return self.csr.num_rows

    @property
    def num_edges(self) -> int:
        """E: stored entries, both directions and self-loops."""
        return self.csr.num_edges

    @cached_property
    def graph(self) -> DGLGraph:
        """The graph for DGL."""
        return self.csr.to_dgl()

    @property
    def num_features(self) -> int:
        return self.features.shape[1]

    @property
    def matrix(self) -> FeatureMatrix:
        """The features, whatever kind they are."""
        return FeatureMatrix(self.features)

    def dense_features(self, device: torch.device | str = "cpu") -> Tensor:
        """float32 `[N, D]` on `device`; not a copy, if the features (`kept` there) are that."""
        return self.matrix.dense(device)

    def homophily(self, edges_at_once: int = 1 << 24) -> float:
        """Share of the edges between labelled nodes that join equal labels, self-loops left out.

        Of several labels the mean of |L_i ∩ L_j| / |L_i ∪ L_j| (Zhao et al., 2023: Multi-label
        node classification on graph-structured data), over labels that are known of both, and
        over edges where one of them has some; NaN of regression.
        """
        if self.task == "regression":
            return float("nan")
        csr, same, edges = self.csr, 0.0, 0
        entries = edges_at_once // (self.labels.shape[1] if self.labels.ndim > 1 else 1)
        step = max(1, entries * self.num_nodes // self.num_edges)
        for part in slices(range(self.num_nodes), step):
            pointers = csr.indptr[part.start : part.stop + 1]
            rows = part.start + torch.repeat_interleave(pointers.diff())
            columns = csr.indices[int(pointers[0]) : int(pointers[-1])].long()
            alike, counted = self._alike(rows, columns)
            counted &= rows != columns
            edges += int(counted.sum())
            same += float(alike[counted].sum(dtype=torch.float64))
            release(csr.indices)
        return same / edges if edges else float("nan")

    def _alike(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """How much the labels of two nodes agree, and whether that is defined; both `[n]`."""
        a, b = self.labels[source], self.labels[target]
        if self.task == "classification":
            return a == b, (a >= 0) & (b >= 0)
        known = ~(a.isnan() | b.isnan())
        both = (known & (a == 1) & (b == 1)).sum(dim=1)
        either = (known & ((a == 1) | (b == 1))).sum(dim=1)
        return both / either, either > 0

    @cached_property
    def fingerprint(self) -> str:
        """32 digits that graph, features, labels and split decide.

        A prepared dataset goes by the checksums of its files: none is read, and the digits are
        others than those of the same arrays in memory.
        """
        digest = hashlib.blake2b((self.content or "").encode(), digest_size=16)
        arrays = [self.csr.indptr, self.csr.indices, self.labels, *self.matrix.parts]
        splits = [*self.splits, *([] if self.split is None else [self.split])]
        split = [t for each in splits for t in vars(each).values() if t is not None]
        if self.task != "classification":  # the same numbers may be labels or numbers
            digest.update(self.task.encode())
        if self.classes is not None:  # which a run keeps with its students
            digest.update(repr(self.classes).encode())
        if self.csr.weights is not None:
            arrays.append(self.csr.weights)
        for array in split if self.content else arrays + split:
            digest.update(f"{array.dtype} {list(array.shape)}".encode())
            for block in array.contiguous().flatten().split(1 << 22) if array.numel() else ():
                digest.update(block.view(torch.uint8).numpy())
        return digest.hexdigest()

    def observed_view(self) -> NodeDataset:
        """The dataset that training may see, with its own node ids; itself when transductive."""
        return self._observed_view

    def with_features_of(self, make: Callable[[CSRGraph], Tensor]) -> NodeDataset:
        """The dataset with features `[N, D]` that are made of the graph that nodes see."""
        return replace(self, features=make(self.csr), features_of=make)

    @cached_property
    def _observed_view(self) -> NodeDataset:
        split = self.parts
        if split.observed is None:
            return self
        nodes = split.observed
        local = torch.full((self.num_nodes,), -1, dtype=torch.long)
        local[nodes] = torch.arange(len(nodes))
        csr, made = self.csr.subgraph(nodes), self.features_of
        return replace(
            self,
            csr=csr,
            features=self.matrix.gather(nodes) if made is None else made(csr),
            labels=self.labels[nodes],
            content=None,
            ids=None,
            split=Split(local[split.train], local[split.val], local[split.test_observed]),
        )

    # Inductive: observed nodes see the observed graph alone, the others all of it.

    def views(self) -> list[View]:
        """What nodes see: the whole graph, and where some are hidden, then the observed one.

        Results of a later view replace those of its nodes from an earlier one.
        """
        views, observed = [View(self, None)], self.parts.observed
        if observed is not None:
            views.append(View(self.observed_view(), observed))
        return views

    def by_view(self, compute: Callable[[NodeDataset], Tensor]) -> Tensor:
        """`[N, ...]`: for each node the row that a computation gives of the graph that it sees."""
        (everything, _), *others = self.views()
        out = compute(everything)
        for view, nodes in others:
            out[nodes] = compute(view).to(out.dtype)
        return out

    def scattered(self, values: Tensor) -> Tensor:
        """Floating-point values of the observed view's nodes, `[n]`, as `[N]`: NaN elsewhere."""
        observed = self.parts.observed
        if observed is None:
            return values
        out = values.new_full((self.num_nodes,), torch.nan)
        out[observed] = values
        return out


class View(NamedTuple):
    """A graph that some nodes see.

    Args:
        dataset: `[n, ...]`.
        nodes: which of all nodes its rows are, int64 `[n]`; None: all, in order.
    """

    dataset: NodeDataset
    nodes: Tensor | None


def check(dataset: NodeDataset, where: str) -> NodeDataset:
    """The dataset, or an InputError that starts with `where` and names what is wrong.

    Its splits are checked where one is chosen (`splits.with_split`).
    """
    N, C = dataset.num_nodes, dataset.num_classes
    labels, classes = dataset.labels, dataset.task == "classification"
    try:
        dataset.matrix.check_stored(N)
        if list(labels.shape) != (shape := [N] if classes else [N, C]):
            expected = shape if classes or len(labels) == N else f"[{N}, C]"
            raise InputError(f"labels: expected shape {expected}, found {list(labels.shape)}")
        if not classes:
            if labels.dtype != torch.float32:
                raise InputError(f"labels: expected float32, found {dtype_name(labels.dtype)}")
            read_labels(labels.numpy(), "labels", dataset.task)
            return dataset
        if C > N:  # ids of something else; a model of that many outputs would be vast
            raise InputError(f"labels: expected less than the number of nodes, {N}; found {C - 1}")
        wrong = (labels < UNLABELLED) | (labels >= C)
        if wrong.any():
            node = int(wrong.nonzero()[0])
            raise InputError(
                f"labels: expected 0 to {C - 1}, or -1 for none; "
                f"found {int(labels[node])} at node {node}"
            )
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return dataset


def check_split(split: Split, num_nodes: int, where: str) -> None:
    """Raises an InputError that starts with `where` unless the parts are ids of nodes, none is
    empty, and no node is there twice."""
    ids = {part: getattr(split, part) for part in PARTS}
    for part, nodes in ids.items():
        if nodes.ndim != 1 or nodes.dtype != torch.long:
            found = f"{dtype_name(nodes.dtype)} {list(nodes.shape)}"
            do = "mask.nonzero().flatten() makes them of a mask"
            raise InputError(f"{where}: split {part}: expected ids, int64 [n], found {found}; {do}")
        if not len(nodes):
            raise InputError(f"{where}: split {part}: expected at least one node, found none")
        wrong = (nodes < 0) | (nodes >= num_nodes)
        if wrong.any():
            expected, bad = f"expected ids 0 to {num_nodes - 1}", int(nodes[wrong][0])
            raise InputError(f"{where}: split {part}: {expected}, found {bad}")
    everyone, counts = torch.cat([*ids.values()]).unique(return_counts=True)
    if len(twice := everyone[counts > 1]):
        node = int(twice[0])
        parts = [part for part, nodes in ids.items() for _ in range(int((nodes == node).sum()))]
        raise InputError(
            f"{where}: split {parts[1]}: node {node} is in the splits twice ({', '.join(parts)})"
        )


def check_labels(split: Split, labels: Tensor, where: str, ids: np.ndarray | None = None) -> None:
    """Raises an InputError that starts with `where` unless every node of the split has a label, of
    several at least one, and those that train are of several classes where all of them are. A
    node is named by its id where there are `ids`."""
    of = {part: labels[getattr(split, part)] for part in PARTS}
    for part, found in of.items():
        if not (known := labelled(found)).all():
            row = int(getattr(split, part)[~known][0])
            node = row if ids is None else repr(ids[row].item())
            raise InputError(f"{where}: split {part}: node {node} has no label")
    if labels.ndim > 1:
        return
    if len(of["train"].unique()) == 1 < len(torch.cat([*of.values()]).unique()):
        raise InputError(
            f"{where}: split train: expected nodes of several classes, found "
            f"{len(of['train'])} of one (one-hot labels are no masks)"
        )


def describe(dataset: NodeDataset) -> str:
    C = dataset.num_classes
    s = "" if C == 1 else "s"
    columns = {"multilabel": f"label{s}", "regression": f"target column{s}"}
    return (
        f"{dataset.name}: {dataset.num_nodes:,} nodes, {dataset.num_edges:,} edges, "
        f"{dataset.num_features:,} features, {C or 'no'} {columns.get(dataset.task, 'classes')}"
    )
