"""The figures of a dataset that `data describe` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ..graph.csr import CSRGraph
from ..system.arrays import dtype_name
from .dataset import NodeDataset, Split

CLASSES_SHOWN = 50


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
    """

    degrees: Degrees
    sparse: bool
    dtype: torch.dtype
    nonzero: float
    homophily: float
    class_counts: list[int]
    part_counts: dict[str, int]
    provenance: dict[str, Any]

    def lines(self) -> list[str]:
        d, counts = self.degrees, self.class_counts
        kind = "sparse" if self.sparse else "dense"
        classes = ", ".join(map(str, counts[:CLASSES_SHOWN]))
        return [
            f"neighbours: mean {d.mean:.2f}, quartiles {', '.join(map(str, d.quartiles))}, "
            f"99% {d.percent_99}, max {d.max}, isolated {d.isolated}",
            f"features: {kind} {dtype_name(self.dtype)}, {self.nonzero:.2%} non-zero",
            f"edge homophily: {self.homophily:.4f}",
            f"nodes per class: {classes}{', ...' if len(counts) > CLASSES_SHOWN else ''}",
            "split: " + ", ".join(f"{part} {n:,}" for part, n in self.part_counts.items()),
            "provenance: " + ", ".join(f"{k} {v}" for k, v in self.provenance.items()),
        ]


def summarize(dataset: NodeDataset) -> Summary:
    """Of a dataset whose split is drawn; mapped features are read once, block by block."""
    x, labels = dataset.matrix, dataset.labels
    return Summary(
        degrees(dataset.csr),
        x.is_sparse,
        x.dtype,
        x.count_nonzero() / (x.num_rows * x.num_columns),
        dataset.homophily(),
        torch.bincount(labels[labels >= 0], minlength=dataset.num_classes).tolist(),
        part_counts(dataset.parts),
        dataset.provenance,
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
