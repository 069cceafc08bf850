"""SparseMatrix: an input of a first layer whose zeros are neither stored nor multiplied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..graph.csr import CSRGraph
from ..ops import spmm
from .matrix import FeatureMatrix

Inputs = Literal["auto", "dense", "sparse"]

# The density below which a product and its gradient are faster than dense ones, by type of device
# (0.22 to 0.34 on one thread and two; on a GPU not measured, so dense unless asked for).
SPARSE_PRODUCT_BELOW = {"cpu": 0.25, "cuda": 0.0}


@dataclass(frozen=True, eq=False)
class SparseMatrix:
    """A constant matrix, `[N, D]`.

    Args:
        pattern: row i holds the columns of its stored entries.
        values: of the entries, float32 or float64 `[nnz]`.
    """

    pattern: CSRGraph
    values: Tensor

    @classmethod
    def of(cls, x: Tensor) -> SparseMatrix:
        """The entries of a dense or sparse CSR tensor `[N, D]` that are not zero."""
        if FeatureMatrix(x).is_sparse:
            indptr, cols, values = x.crow_indices().long(), x.col_indices(), x.values()
        else:
            rows, cols = x.nonzero(as_tuple=True)
            lengths = rows.bincount(minlength=len(x))
            indptr, values = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]), x[rows, cols]
        return cls(CSRGraph(indptr, cols.int(), x.shape[1]), values)

    @property
    def shape(self) -> tuple[int, int]:
        return self.pattern.num_rows, self.pattern.num_cols

    @property
    def device(self) -> torch.device:
        return self.values.device

    def __matmul__(self, weight: Tensor) -> Tensor:
        """Times a dense `[D, K]`, with respect to which it is differentiable."""
        return spmm(self.pattern, weight, values=self.values)

    def __getitem__(self, rows: Tensor) -> SparseMatrix:
        """The rows of the ids, int64 `[n]`."""
        lengths, entries = self.pattern.row_lengths[rows], self.pattern.entries_of(rows)
        indptr = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        pattern = CSRGraph(indptr, self.pattern.indices[entries], self.pattern.num_cols)
        return SparseMatrix(pattern, self.values[entries])

    def with_values(self, values: Tensor) -> SparseMatrix:
        """The same pattern with other values, `[nnz]`."""
        return SparseMatrix(self.pattern, values)

    def to_dense(self) -> Tensor:
        lengths, nnz = self.pattern.row_lengths, len(self.values)
        rows = torch.repeat_interleave(lengths, output_size=nnz)
        where = rows, self.pattern.indices.long()
        return self.values.new_zeros(self.shape).index_put_(where, self.values, accumulate=True)

    def to(
        self,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        non_blocking: bool = False,
    ) -> SparseMatrix:
        values = self.values.to(device=device, dtype=dtype, non_blocking=non_blocking)
        return SparseMatrix(self.pattern.to(values.device), values)


def first_layer_input(x: Tensor, device: torch.device, inputs: Inputs) -> Tensor | SparseMatrix:
    """Features `[N, D]`, dense or sparse CSR, as a first layer takes them on `device`: float32.

    "auto" is sparse below the density `SPARSE_PRODUCT_BELOW`.
    """
    matrix = FeatureMatrix(x)
    if inputs == "auto":
        nonzero = len(x.values()) if matrix.is_sparse else int(x.count_nonzero())
        sparse = nonzero < SPARSE_PRODUCT_BELOW[device.type] * x.shape[0] * x.shape[1]
    else:
        sparse = inputs == "sparse"
    if sparse:
        return SparseMatrix.of(x).to(device, torch.float32)
    return matrix.to_dense().to(device).float()


def row_source(features: FeatureMatrix, inputs: Inputs = "auto") -> Tensor | SparseMatrix:
    """What rows are taken from as a first layer's inputs; "auto": as the features are stored."""
    sparse = features.is_sparse if inputs == "auto" else inputs == "sparse"
    return SparseMatrix.of(features.values) if sparse else features.to_dense()
