"""Scales of the columns of X: made alike by `data.standardize`, and told where they are not."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..features.matrix import FeatureMatrix
from ..graph.csr import CSRGraph
from .dataset import NodeDataset

SAMPLE_ROWS = 4096  # of dense features that are looked at for a hint, at even distances
UNLIKE = 1000.0  # times the others


def standardized(dataset: NodeDataset, seen: NodeDataset) -> NodeDataset:
    """Columns of mean 0 and variance 1 over the nodes of `seen`, which training may see.

    Args:
        seen: the dataset itself, or its observed view: hidden nodes have no part in the statistics
            that are applied to them.
    """
    columns, make = Columns.of(seen.matrix), dataset.features_of

    def remade(graph: CSRGraph) -> Tensor:
        assert make is not None
        return columns.applied(make(graph))

    features = columns.applied(dataset.features)
    return replace(dataset, features=features, features_of=make and remade)


@dataclass(frozen=True)
class Columns:
    """Statistics of columns.

    Args:
        mean: float64 `[D]`.
        deviation: standard deviations (of the population), float64 `[D]`; 0 of a constant column.
    """

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, x: FeatureMatrix) -> Columns:
        """By blocks of rows, whose sums of squares about the mean are joined as by Chan et al.
        (1979)."""
        D, done = x.num_columns, 0
        mean, squares = torch.zeros(2, D, dtype=torch.float64)
        low, high = (torch.full((D,), limit) for limit in (torch.inf, -torch.inf))
        for _, rows in x.blocks():
            block, n = rows.double(), len(rows)
            step = block.mean(dim=0) - mean
            done += n
            mean += step * (n / done)
            about = (block - (mean + step * (1 - n / done))).square_().sum(dim=0)
            squares += about + step**2 * (n * (done - n) / done)
            low, high = torch.minimum(low, rows.amin(0)), torch.maximum(high, rows.amax(0))
        deviation = (squares / done).sqrt()
        return cls(mean, torch.where(low == high, 0.0, deviation))

    def applied(self, x: Tensor) -> Tensor:
        """(x - mean) / deviation, float32 `[N, D]`; 0 in constant columns. A sparse matrix is
        divided only, so that it stays sparse."""
        scale = torch.where(self.deviation > 0, 1 / self.deviation, 0.0)
        matrix = FeatureMatrix(x)
        if matrix.is_sparse:
            columns = x.col_indices()
            values = (x.values().double() * scale[columns.long()]).float()
            return torch.sparse_csr_tensor(x.crow_indices(), columns, values, x.shape)
        out = torch.empty(x.shape)
        for part, rows in matrix.blocks():
            out[part] = ((rows.double() - self.mean) * scale).float()
        return out


def unlike_scales(x: FeatureMatrix) -> str | None:
    """A line that names the column whose largest magnitude is `UNLIKE` times the others' median,
    columns that do not vary left out; None: there is none.

    Of dense features `SAMPLE_ROWS` are looked at, of sparse ones all stored entries.
    """
    if x.is_sparse:
        columns, values = x.values.col_indices().long(), x.values.values().abs().double()
        largest = torch.zeros(x.num_columns, dtype=torch.float64)
        largest.scatter_reduce_(0, columns, values, "amax")
        varies = largest > 0
    else:
        step = max(1, x.num_rows // SAMPLE_ROWS)
        rows = x.values[torch.arange(0, x.num_rows, step)].double()
        x.release()
        largest, varies = rows.abs().amax(dim=0), rows.amin(dim=0) < rows.amax(dim=0)
    if int(varies.sum()) < 2:
        return None
    column = int(torch.where(varies, largest, -1).argmax())
    varies[column] = False
    others = float(largest[varies].median())
    if float(largest[column]) < UNLIKE * others:
        return None
    return (
        f"features: column {column} reaches {float(largest[column]):.3g}, the others "
        f"{others:.3g} (median): data.standardize: true gives all the same scale"
    )
