r"""Nearest axes and the scan of cones: what the certified minimum cosine is made of.

A cone is an axis $c$ and members, ids of rows of $y$. Each member has a limit: rows $x_i$ with
$x_i\cdot c$ above it need not meet the member (`influence.minimum` says why).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from . import _library

DIRECTIONS = 15  # of the second bound; with the length of the rest a row of 16 in the kernel
BLOCK_ENTRIES = 1 << 24  # of the largest temporary of the references, beside O(N) ones
STAIR_ROWS = 1024  # at least, that the reference lets meet a block of members


def nearest_axis(rows: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    """For each row the axis with the largest inner product, and the distance to it.

    Args:
        rows: `[N, D]`, float32 or float64.
        axes: `[K, D]`, likewise, K > 0.

    Returns:
        int64 `[N]`, and `[N]` of the dtype of the rows.
    """
    if rows.device.type not in _library.loaded():
        return nearest_axis_reference(rows, axes)
    return torch.ops.infgrand.nearest_axis(rows, axes)


def nearest_axis_reference(rows: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    """`nearest_axis` in plain torch: the definition and the tests' oracle."""
    owners, distances = [], []
    for part in rows.split(max(1, BLOCK_ENTRIES // max(axes.shape))):
        owner = (part @ axes.T).argmax(dim=1)
        owners.append(owner)
        distances.append(torch.linalg.vector_norm(part - axes[owner], dim=1))
    return torch.cat(owners), torch.cat(distances)


@dataclass(frozen=True)
class Cones:
    """
    Args:
        axes: `[K, D]`.
        sizes: how many of the members belong to each cone, int64 `[K]`.
        members: ids of rows of y, cone by cone, int64 `[M]`.
        limits: of the members, `[M]`, dtype of the axes; they descend in a cone.
    """

    axes: Tensor
    sizes: Tensor
    members: Tensor
    limits: Tensor


def min_over_cones(
    x: Tensor,
    y: Tensor,
    cones: Cones,
    *,
    below: float,
    eps: float,
    directions: Tensor | None = None,
) -> tuple[int, int, int]:
    r"""The least $x_i\cdot y_j$ over the members j of the cones, $x_i\cdot c$ up to their limits.

    Args:
        x: `[N, D]`, float32 or float64, of unit rows.
        y: likewise.
        below: only a smaller value counts.
        eps: bounds the rounding of an inner product.
        directions: `[DIRECTIONS, D]`, orthonormal or zero, which may help to exclude pairs; the
            compiled op of the CPU needs them, and nothing else reads them.

    Returns:
        i, j and how many pairs were evaluated; -1, -1 where no pair is below.
    """
    if x.device.type not in _library.loaded():
        return min_over_cones_reference(x, y, cones, below=below, eps=eps)
    indptr = torch.cat([cones.sizes.new_zeros(1), cones.sizes.cumsum(0)])
    i, j, evaluated = torch.ops.infgrand.min_over_cones(
        indptr, cones.members.int(), x, y, cones.axes, cones.limits, directions, below, eps
    ).tolist()
    return i, j, evaluated


def min_over_cones_reference(
    x: Tensor, y: Tensor, cones: Cones, *, below: float, eps: float
) -> tuple[int, int, int]:
    """`min_over_cones` in plain torch, block by block of pairs."""
    scan = _Scan(BestPair(x, y, below), eps)
    sizes = cones.sizes.tolist()
    rows_at_once = max(1, BLOCK_ENTRIES // len(cones.axes))
    for start in range(0, len(x), rows_at_once):
        dots = cones.axes @ x[start : start + rows_at_once].T
        of_cones = zip(dots, cones.members.split(sizes), cones.limits.split(sizes), strict=True)
        for dot, j, limit in of_cones:
            if len(j):
                i = (dot <= limit[0]).nonzero().flatten()
                scan.staircase(start + i, dot[i], j, limit)
    return *scan.best.pair, scan.evaluated


class BestPair:
    """The least x_i·y_j that was offered, in float64; (-1, -1): none is below the value given."""

    def __init__(self, x: Tensor, y: Tensor, value: float) -> None:
        self.x, self.y, self.value, self.pair = x, y, value, (-1, -1)

    def offer(self, i: Tensor, j: Tensor) -> None:
        """Takes the best of the pairs (i, j), if it beats the best so far."""
        for a, b in zip(i.split(1 << 16), j.split(1 << 16), strict=True):
            if not len(a):
                continue
            exact = torch.linalg.vecdot(self.x[a].double(), self.y[b].double())
            best = int(exact.argmin())
            if float(exact[best]) < self.value:
                self.value, self.pair = float(exact[best]), (int(a[best]), int(b[best]))


class _Scan:
    """The reference's steps: from a cone's rows and members to blocks of pairs."""

    def __init__(self, best: BestPair, eps: float) -> None:
        self.best, self.eps, self.evaluated = best, eps, 0

    def staircase(self, i: Tensor, dot: Tensor, j: Tensor, limit: Tensor) -> None:
        """Pairs of one cone with dot_i <= limit_j; limits descend along j."""
        dot, order = dot.sort()
        i = i[order]
        # How many members each row must meet; it shrinks along i.
        meet = torch.searchsorted(-limit, -dot, right=True)
        start = 0
        while start < len(i) and (most := int(meet[start])) > 0:
            # A block ends where the stairs have come down by half, so half of it is needed.
            stop = int(torch.searchsorted(-meet, -(most // 2)))
            longest = max(STAIR_ROWS, BLOCK_ENTRIES // most)
            stop = min(max(stop, start + STAIR_ROWS), start + longest, len(i))
            self.block(i[start:stop], j[:most])
            start = stop

    def block(self, i: Tensor, j: Tensor) -> None:
        """All pairs of rows i and j."""
        x, y = self.best.x, self.best.y
        for part in j.split(max(1, BLOCK_ENTRIES // len(i))):
            product = x[i] @ y[part].T
            self.evaluated += product.numel()
            # Whatever rounding may hide below the best value is looked at again in float64.
            a, b = (product <= self.best.value + self.eps).nonzero(as_tuple=True)
            if len(a) <= 1 << 20:
                self.best.offer(i[a], part[b])
            else:  # nearly everything ties: one float64 product is cheaper
                exact = x[i].double() @ y[part].double().T
                row, column = divmod(int(exact.argmin()), len(part))
                self.best.offer(i[row : row + 1], part[column : column + 1])


def _fake_nearest_axis(x: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape[0], dtype=torch.long), x.new_empty(x.shape[0])


def _fake_min_over_cones(
    indptr: Tensor,
    indices: Tensor,
    x: Tensor,
    y: Tensor,
    axes: Tensor,
    limits: Tensor,
    directions: Tensor | None,
    value: float,
    eps: float,
) -> Tensor:
    return x.new_empty(3, dtype=torch.long)


if "cpu" in _library.loaded():
    torch.library.register_fake("infgrand::nearest_axis", _fake_nearest_axis)
    torch.library.register_fake("infgrand::min_over_cones", _fake_min_over_cones)
