"""Features of any kind behind one face: dense or sparse, in memory or mapped, of 16 bits or 32."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError, check_shape
from ..system.arrays import blocks, first_not_finite, is_mapped, release, slices
from ..system.kept import kept
from ..system.runtime import Runtime
from ..system.transfer import tensors

BLOCK_BYTES = 32 << 20  # of a matrix in float32 that are looked at together


@dataclass(frozen=True, eq=False)
class FeatureMatrix:
    """X, `[N, D]`. Mapped features are read some rows at a time and leave the memory again.

    Args:
        values: floating point, dense or sparse CSR; in memory, or a mapped file.
    """

    values: Tensor

    # What it is

    @property
    def num_rows(self) -> int:
        return self.values.shape[0]

    @property
    def num_columns(self) -> int:
        return self.values.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        return self.values.dtype

    @property
    def computed_dtype(self) -> torch.dtype:
        """Of its rows as computations take them: at least float32."""
        return torch.promote_types(self.dtype, torch.float32)

    @property
    def is_sparse(self) -> bool:
        return self.values.layout != torch.strided

    @property
    def is_mapped(self) -> bool:
        """Whether its memory is a file."""
        return is_mapped(self.values)

    @property
    def is_plain(self) -> bool:
        """Whether computations take it as it is stored: dense float32."""
        return not self.is_sparse and self.dtype == torch.float32

    @property
    def parts(self) -> list[Tensor]:
        """The strided tensors that it is stored in."""
        return list(tensors(self.values))

    @property
    def stored_bytes(self) -> int:
        return sum(part.nbytes for part in self.parts)

    @property
    def input_bytes(self) -> int:
        """Bytes of a first layer's input: float32, with a column for each entry of a sparse one."""
        return 12 * len(self.values.values()) if self.is_sparse else 4 * self.values.numel()

    @property
    def stored_entries(self) -> Tensor:
        """Those that are stored: all `[N, D]`, or `[nnz]` of a sparse matrix."""
        return self.values.values() if self.is_sparse else self.values

    def count_nonzero(self) -> int:
        return sum(int(part.count_nonzero()) for _, part in blocks(self.stored_entries, 1 << 16))

    # All of it

    def to_dense(self) -> Tensor:
        """Dense, of the dtype it has; the tensor itself where that is so already."""
        return self.values.to_dense() if self.is_sparse else self.values

    def gather(self, ids: Tensor) -> Tensor:
        """Dense float32 rows of ids, int64 `[n]`."""
        return self.to_dense()[ids].float()

    def dense(self, device: torch.device | str = "cpu") -> Tensor:
        """float32 `[N, D]` on `device`; not a copy, if the features (`kept` there) are that."""
        return FeatureMatrix(kept(self.values, device)).to_dense().float()

    def release(self) -> None:
        """Pages of mapped features leave the memory."""
        release(self.values)

    # Some rows

    def rows(self, rows: slice) -> Tensor:
        """Dense and at least float32, `[n, D]`; a view where the features are that already."""
        part = self.values[rows] if not self.is_sparse else self._sparse_rows(rows).to_dense()
        return part.to(self.computed_dtype)

    def _sparse_rows(self, rows: slice) -> Tensor:
        x = self.values
        indptr = x.crow_indices()[rows.start : rows.stop + 1]
        entries = slice(int(indptr[0]), int(indptr[-1]))
        shape = len(indptr) - 1, self.num_columns
        columns, values = x.col_indices()[entries], x.values()[entries]
        return torch.sparse_csr_tensor(indptr - indptr[0], columns, values, shape)

    def row_slices(self, rows: range | None = None) -> Iterator[slice]:
        """Consecutive parts of the rows, or of all, each of about BLOCK_BYTES in float32."""
        rows = range(self.num_rows) if rows is None else rows
        return slices(rows, max(1, BLOCK_BYTES // (4 * max(1, self.num_columns))))

    def blocks(self, rows: range | None = None) -> Iterator[tuple[slice, Tensor]]:
        """Each of `row_slices` and its `rows`; of a mapped matrix one is in memory at a time."""
        for part in self.row_slices(rows):
            yield part, self.rows(part)
            self.release()

    # Checks

    def check(self, num_rows: int) -> FeatureMatrix:
        """Itself, where it is floating point `[num_rows, D]`.

        Raises:
            InputError: it is not.
        """
        check_shape("features", self.values, [num_rows, "D"])
        if not self.dtype.is_floating_point:
            raise InputError(f"features: expected floating point, found {self.dtype}")
        return self

    def checked_dense(self, num_rows: int) -> Tensor:
        """Dense and contiguous, `[N, D]`, of the dtype it has.

        Raises:
            InputError: not floating point `[num_rows, D]`, or not finite.
        """
        dense = self.check(num_rows).to_dense().contiguous()
        # A sum is finite iff nothing in it is not, short of an overflow; look closer only then.
        if not dense.sum().isfinite() and (row := first_not_finite(dense)) is not None:
            raise _not_finite(row)
        return dense

    def check_stored(self, num_rows: int) -> None:
        """As `checked_dense`, of a sparse matrix looking at the stored entries alone."""
        if not self.is_sparse:
            self.checked_dense(num_rows)
        elif self.num_rows != num_rows or first_not_finite(self.stored_entries) is not None:
            raise InputError(f"features: expected {num_rows} rows of finite numbers")

    def largest_magnitude(self, num_rows: int, runtime: Runtime) -> float:
        """The largest absolute value, each process looking at its share of rows.

        Raises:
            InputError: not floating point `[num_rows, D]`, or not finite.
        """
        largest = torch.zeros((), dtype=torch.float64, device=runtime.device)
        with runtime.ranks.together():
            self.check(num_rows)
            for part, block in self.blocks(runtime.ranks.share(num_rows)):
                if block.numel():
                    low, high = map(float, torch.aminmax(block))
                    if not (math.isfinite(low) and math.isfinite(high)):
                        raise _not_finite(part.start + (first_not_finite(block) or 0))
                    largest.fill_(max(float(largest), -low, high))
                del block
        return float(runtime.ranks.max(largest))


def _not_finite(row: int) -> InputError:
    return InputError(f"features: expected finite numbers, found NaN or infinity in row {row}")
