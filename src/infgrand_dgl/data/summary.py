"""The figures of a dataset that `data describe` prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..config.schema import DataConfig
from ..graph.csr import CSRGraph
from ..system.arrays import dtype_name
from .dataset import NodeDataset, Split

CLASSES_SHOWN = 50
NAMES_SHOWN = 10


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
class Summary:
    """
    Args:
        sparse: how the features are stored.
        nonzero: share of the features' `[N, D]` entries.
        homophily: `NodeDataset.homophily`.
        class_counts: labelled nodes of each class.
        part_counts: nodes of each part of the split.
        classes: codes or names of the classes, where they are not their numbers.
        lacks: `NodeDataset.lacks`.
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
    splits: Sequence[dict[str, int]] = ()

    def lines(self) -> list[str]:
        d, counts = self.degrees, self.class_counts
        kind = "sparse" if self.sparse else "dense"
        shown = list(map(str, counts[:CLASSES_SHOWN]))
        if self.classes is not None:
            shown = [f"{name}: {n}" for name, n in zip(self.classes, shown, strict=False)]
        classes = ", ".join(shown) or "none"
        parts = ", ".join(f"{part} {n:,}" for part, n in self.part_counts.items())
        return [
            f"neighbours: mean {d.mean:.2f}, quartiles {', '.join(map(str, d.quartiles))}, "
            f"99% {d.percent_99}, max {d.max}, isolated {d.isolated}",
            f"features: {kind} {dtype_name(self.dtype)}, {self.nonzero:.2%} non-zero",
            f"edge homophily: {self.homophily:.4f}",
            f"nodes per class: {classes}{', ...' if len(counts) > CLASSES_SHOWN else ''}",
            _of_several(self.splits) or f"split: {parts or f'none ({self.lacks})'}",
            "provenance: " + ", ".join(f"{k} {v}" for k, v in self.provenance.items()),
        ]


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
    x, labels = dataset.matrix, dataset.labels
    return Summary(
        degrees(dataset.csr),
        x.is_sparse,
        x.dtype,
        x.count_nonzero() / (x.num_rows * x.num_columns),
        dataset.homophily(),
        torch.bincount(labels[labels >= 0], minlength=dataset.num_classes).tolist(),
        {} if dataset.split is None else part_counts(dataset.parts),
        dataset.provenance,
        dataset.classes,
        dataset.lacks,
        [part_counts(split) for split in splits],
    )


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
    """Which classes have no training node, in a line; None: all have."""
    counts = torch.bincount(dataset.labels[dataset.train], minlength=dataset.num_classes)
    names = [name for name, n in zip(dataset.class_names, counts.tolist(), strict=True) if n == 0]
    if not names:
        return None
    more = ", ..." if len(names) > NAMES_SHOWN else ""
    what = f"{len(names)} of {dataset.num_classes} classes have no training node"
    return f"{what}, so that no model learns them: {', '.join(names[:NAMES_SHOWN])}{more}"
