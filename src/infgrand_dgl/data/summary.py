"""The figures of a dataset that `data describe` prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import torch
from torch import Tensor

from ..config.fields import Task
from ..config.schema import DataConfig
from ..graph.csr import CSRGraph
from ..system.arrays import blocks, dtype_name
from .dataset import NodeDataset, Split

CLASSES_SHOWN = 50
NAMES_SHOWN = 10
ROWS = 1 << 16  # of labels that are looked at together


@dataclass(frozen=True)
class Degrees:
    """Of the number of neighbours of a node; a self-loop is none.

    Args:
        quartiles: 25%, 50%, 75%; these and `percent_99` are values that occur.
        isolated: nodes without neighbours.
    """

    mean: float
    quartiles: tuple[int, int, int]
    percent_99: int
    max: int
    isolated: int


@dataclass(frozen=True)
class Column:
    """Of one label, or of one column of numbers, over the nodes where it is known.

    Args:
        std: of the population.
    """

    known: int
    mean: float
    std: float
    min: float
    max: float

    @property
    def positives(self) -> int:
        """Of a label: nodes that have it."""
        return round(self.mean * self.known) if self.known else 0


@dataclass(frozen=True)
class Weights:
    """Of the edges, self-loops left out; the median is a value that occurs."""

    min: float
    median: float
    max: float


@dataclass(frozen=True)
class Summary:
    """
    Args:
        sparse: how the features are stored.
        nonzero: share of the features' `[N, D]` entries.
        homophily: `NodeDataset.homophily`.
        class_counts: labelled nodes of each class; none of other tasks.
        part_counts: nodes of each part of the split.
        classes: codes or names of the classes, where they are not their numbers.
        lacks: `NodeDataset.lacks`.
        task: `NodeDataset.task`.
        columns: of several labels or numbers.
        weights: of the edges; None: they have none.
        splits: `part_counts` of each, where there are several and none is chosen.
    """

    degrees: Degrees
    sparse: bool
    dtype: torch.dtype
    nonzero: float
    homophily: float
    class_counts: list[int]
    part_counts: dict[str, int]
    provenance: dict[str, Any]
    classes: Sequence[int | str] | None = None
    lacks: str | None = None
    task: Task = "classification"
    columns: tuple[Column, ...] = ()
    weights: Weights | None = None
    splits: Sequence[dict[str, int]] = ()

    def lines(self) -> list[str]:
        d, w = self.degrees, self.weights
        kind = "sparse" if self.sparse else "dense"
        parts = ", ".join(f"{part} {n:,}" for part, n in self.part_counts.items())
        return [
            f"neighbours: mean {d.mean:.2f}, quartiles {', '.join(map(str, d.quartiles))}, "
            f"99% {d.percent_99}, max {d.max}, isolated {d.isolated}",
            *(
                []
                if w is None
                else [f"edge weights: min {w.min:g}, median {w.median:g}, max {w.max:g}"]
            ),
            f"features: {kind} {dtype_name(self.dtype)}, {self.nonzero:.2%} non-zero",
            "edge homophily: "
            + ("not defined" if isnan(self.homophily) else f"{self.homophily:.4f}"),
            self._of_labels(),
            _of_several(self.splits) or f"split: {parts or f'none ({self.lacks})'}",
            "provenance: " + ", ".join(f"{k} {v}" for k, v in self.provenance.items()),
        ]

    def _of_labels(self) -> str:
        what = {
            "classification": "nodes per class: ",
            "multilabel": "nodes with each label, of those where it is known: ",
            "regression": "numbers: ",
        }[self.task]
        each = [str(n) for n in self.class_counts]
        if self.task == "multilabel":
            each = [f"{c.positives} of {c.known}" for c in self.columns]
        elif self.task == "regression":
            each = [
                f"{c.known} known, mean {c.mean:.4g}, std {c.std:.4g}, {c.min:.4g} to {c.max:.4g}"
                for c in self.columns
            ]
        shown = each[:CLASSES_SHOWN]
        if self.classes is not None:
            shown = [f"{name}: {n}" for name, n in zip(self.classes, shown, strict=False)]
        mark = "; " if self.task == "regression" else ", "
        more = f"{mark}..." if len(each) > CLASSES_SHOWN else ""
        return what + (mark.join(shown) or "none") + more


def _of_several(splits: Sequence[dict[str, int]]) -> str:
    """Sizes that are equal once, others from the least to the largest; empty of no splits."""
    if not splits:
        return ""
    sizes = {part: sorted(counts[part] for counts in splits) for part in splits[0]}
    parts = ", ".join(
        f"{part} {n[0]:,}" + (f" to {n[-1]:,}" if n[0] < n[-1] else "") for part, n in sizes.items()
    )
    chosen = f"data.split: 0 to {len(splits) - 1}, or seed, chooses"
    return f"splits: {len(splits)}, each {parts} ({chosen})"


def summarize(dataset: NodeDataset, splits: Sequence[Split] = ()) -> Summary:
    """Of a dataset, after its split is drawn; mapped features are read once, by blocks.

    Args:
        splits: instead of its own, where it has several.
    """
    x, labels, task = dataset.matrix, dataset.labels, dataset.task
    classes = task == "classification"
    counts = torch.bincount(labels[labels >= 0], minlength=dataset.num_classes) if classes else None
    return Summary(
        degrees(dataset.csr),
        x.is_sparse,
        x.dtype,
        x.count_nonzero() / (x.num_rows * x.num_columns),
        dataset.homophily(),
        [] if counts is None else counts.tolist(),
        {} if dataset.split is None else part_counts(dataset.parts),
        dataset.provenance,
        dataset.classes,
        dataset.lacks,
        task,
        () if classes else _columns(labels),
        weights(dataset.csr),
        [part_counts(split) for split in splits],
    )


def _columns(labels: Tensor) -> tuple[Column, ...]:
    """Of `[N, C]`, NaN where it is unknown; mapped labels are read twice, by blocks."""
    known, total, squares = (labels.new_zeros(labels.shape[1], dtype=torch.float64) for _ in "abc")
    low, high = (labels.new_full(labels.shape[1:], end) for end in (torch.inf, -torch.inf))
    for _, part in blocks(labels, ROWS):
        unknown = part.isnan()
        known += (~unknown).sum(dim=0)
        total += part.nansum(dim=0, dtype=torch.float64)
        low = torch.minimum(low, part.masked_fill(unknown, torch.inf).amin(dim=0))
        high = torch.maximum(high, part.masked_fill(unknown, -torch.inf).amax(dim=0))
    mean = total / known
    for _, part in blocks(labels, ROWS):
        squares += (part - mean).square().nansum(dim=0)
    low, high = (torch.where(known > 0, end, torch.nan) for end in (low, high))
    figures = (known.long(), mean, (squares / known).sqrt(), low, high)
    return tuple(Column(*row) for row in zip(*(t.tolist() for t in figures), strict=True))


def weights(graph: CSRGraph) -> Weights | None:
    """Of the edges; None: they have none."""
    if graph.weights is None or graph.num_edges == graph.num_rows:
        return None
    rows = torch.repeat_interleave(graph.row_lengths)
    of_edges = graph.weights[rows != graph.indices]
    return Weights(*(float(value) for value in (of_edges.min(), of_edges.median(), of_edges.max())))


def degrees(graph: CSRGraph) -> Degrees:
    neighbours = (graph.row_lengths - 1).sort().values

    def at(share: float) -> int:
        return int(neighbours[round(share * (len(neighbours) - 1))])

    return Degrees(
        float(neighbours.double().mean()),
        (at(0.25), at(0.5), at(0.75)),
        at(0.99),
        int(neighbours[-1]),
        int((neighbours == 0).sum()),
    )


def part_counts(split: Split) -> dict[str, int]:
    """Also of the observed nodes, where not all are."""
    parts = {"train": split.train, "val": split.val, "test": split.test}
    if split.observed is not None:
        parts |= {"test_observed": split.test_observed, "observed": split.observed}
    return {part: len(nodes) for part, nodes in parts.items()}


def seen(dataset: NodeDataset, config: DataConfig) -> str:
    """What training sees of the nodes, in a line."""
    N, split = dataset.num_nodes, dataset.parts
    if split.observed is None:
        return f"training sees all {N:,} nodes"
    hidden, observed = len(split.test), len(split.observed)
    text = f"training sees {observed:,} of {N:,} nodes: {hidden:,} test nodes are hidden"
    if outside := N - observed - hidden:
        text += f", {outside:,} in no split are left out (data.observed: {config.observed})"
    return text


def untrained(dataset: NodeDataset) -> str | None:
    """Which classes have no training node, or which labels or numbers have none that is known, or
    one value alone, in a line; None: all have."""
    labels, C, names = dataset.labels[dataset.train], dataset.num_classes, dataset.class_names
    if dataset.task == "classification":
        without = torch.bincount(labels, minlength=C) == 0
        what, of = "have no training node, so that no model learns them", "classes"
    else:
        unknown = labels.isnan()
        low = labels.masked_fill(unknown, torch.inf).amin(dim=0)
        without = low >= labels.masked_fill(unknown, -torch.inf).amax(dim=0)
        of = "labels" if dataset.task == "multilabel" else "columns of numbers"
        what = "are unknown, or all the same, of the training nodes, so that no model learns them"
    found = [name for name, none in zip(names, without.tolist(), strict=True) if none]
    if not found:
        return None
    more = ", ..." if len(found) > NAMES_SHOWN else ""
    return f"{len(found)} of {C} {of} {what}: {', '.join(found[:NAMES_SHOWN])}{more}"
