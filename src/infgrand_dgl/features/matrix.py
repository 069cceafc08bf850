"""Features that may not fit in memory, some rows at a time: mapped, sparse, or of 16 bits."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..errors import InputError, check_shape
from ..system.arrays import release
from ..system.ranks import Ranks
from ..system.transfer import tensors

BLOCK = 32 << 20  # bytes of a matrix that are looked at together


def plain(features: Tensor) -> bool:
    """Whether computations take them as they are stored: dense float32."""
    return features.layout == torch.strided and features.dtype == torch.float32


def stored(features: Tensor) -> int:
    """Bytes of features as they are stored, dense or sparse CSR."""
    return sum(tensor.nbytes for tensor in tensors(features))


def row_blocks(matrix: Tensor, rows: range) -> Iterator[slice]:
    """Consecutive parts of `rows`, each of about BLOCK bytes of the matrix in float32."""
    step = max(1, BLOCK // (4 * max(1, matrix.shape[1])))
    for begin in range(rows.start, rows.stop, step):
        yield slice(begin, min(begin + step, rows.stop))


def dense_rows(features: Tensor, rows: slice) -> Tensor:
    """`features[rows]`, dense and at least float32; a view where the features are that already.

    Args:
        features: floating point `[N, D]`, dense or sparse CSR.
    """
    if features.layout == torch.strided:
        part = features[rows]
    else:
        indptr = features.crow_indices()[rows.start : rows.stop + 1]
        entries = slice(int(indptr[0]), int(indptr[-1]))
        part = torch.sparse_csr_tensor(
            indptr - indptr[0],
            features.col_indices()[entries],
            features.values()[entries],
            (len(indptr) - 1, features.shape[1]),
        ).to_dense()
    return part.to(torch.promote_types(part.dtype, torch.float32))


def largest_magnitude(
    features: Tensor, num_nodes: int, ranks: Ranks, device: torch.device
) -> float:
    """The largest absolute value in features `[N, D]`, each process looking at its share of rows.

    Raises:
        InputError: not floating point `[num_nodes, D]`, or not finite.
    """
    largest = torch.zeros((), dtype=torch.float64, device=device)
    with ranks.together():
        check_matrix(features, num_nodes)
        for rows in row_blocks(features, ranks.share(num_nodes)):
            block = dense_rows(features, rows)
            if block.numel():
                low, high = torch.aminmax(block)
                if not (low.isfinite() and high.isfinite()):
                    raise not_finite(block, rows.start)
                largest.fill_(max(float(largest), -float(low), float(high)))
            del block
            release(features)
    return float(ranks.max(largest))


def check_features(features: Tensor, num_nodes: int) -> Tensor:
    """Dense contiguous features `[N, D]`, or the InputError that says what is wrong."""
    check_matrix(features, num_nodes)
    dense = (features if features.layout == torch.strided else features.to_dense()).contiguous()
    # A sum is finite iff nothing in it is not, short of an overflow; look closer only then.
    if not dense.sum().isfinite() and not dense.isfinite().all():
        raise not_finite(dense)
    return dense


def check_matrix(features: Tensor, num_nodes: int) -> None:
    """Raises an InputError unless the features are floating point `[N, D]`."""
    check_shape("features", features, [num_nodes, "D"])
    if not features.is_floating_point():
        raise InputError(f"features: expected floating point, found {features.dtype}")


def not_finite(rows: Tensor, first: int = 0) -> InputError:
    """What to say of rows, numbered from `first`, some of which are not finite."""
    row = first + int((~rows.isfinite()).any(dim=1).nonzero()[0])
    return InputError(f"features: expected finite numbers, found NaN or infinity in row {row}")
