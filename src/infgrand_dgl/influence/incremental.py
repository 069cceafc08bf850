r"""Influence of a graph that has changed: the sum and the minimum behind it, brought up to date.

With C the nodes whose $\hat y$ are others now, $s$ becomes
$s + \sum_{j\in C}(\hat y'_j - \hat y_j)$ in float64, and $\hat x_i\cdot s$ grows by $\hat x_i$
times that sum. It is small, and float32 has digits enough, until what was added is a share of s;
then all are computed anew.

The minimum over pairs that are as they were is no less than m. So with v the least over the others
it becomes $\min(m, v)$ where the pair that attains m is as it was, and v where $v \le m$; otherwise
all pairs are searched again, below v.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .cosine import Influence, normalized, sums_with, total
from .measure import Normalization
from .minimum import MinCosine, min_cosine

DRIFT = 0.1  # of the norm of s: what is added in float32 before all sums are computed anew


@dataclass(frozen=True, eq=False)
class Sums:
    r"""
    Args:
        total: s, float64 `[D]`.
        each: $\hat x_i\cdot s$, float64 `[N]`.
        minimum: of the cosines, where normalization needs it.
        drift: the sum of the norms of what was added to s since `each` was computed of it.
        nonnegative: whether no entry of x is below 0, and so none of y.
    """

    total: Tensor
    each: Tensor
    minimum: MinCosine | None = None
    drift: float = 0.0
    nonnegative: bool = False

    @classmethod
    def of(cls, x: Tensor, y: Tensor, *, minimum: bool) -> Sums:
        """Of unit rows x and y, `[N, D]`."""
        s = total(y)
        least = min_cosine(x, y) if minimum else None
        return cls(s, sums_with(x, s), least, nonnegative=bool(x.amin() >= 0))

    def influence(self, normalization: Normalization) -> Influence:
        return normalized(self.each, normalization, len(self.each), self.minimum)


@dataclass(frozen=True, eq=False)
class ChangedRows:
    """Unit rows that are others now.

    Args:
        ids: distinct, int64 `[c]`.
        before: float32 `[c, D]`; zeros of nodes that were not there.
        after: float32 `[c, D]`.
    """

    ids: Tensor
    before: Tensor
    after: Tensor


@torch.no_grad()
def updated(
    sums: Sums, x: Tensor, changed_x: Tensor, y: ChangedRows, all_y: Callable[[], Tensor]
) -> Sums:
    """
    Args:
        sums: as they were.
        x: unit rows of all nodes as they are now, `[N, D]`.
        changed_x: ids of those that are others now, new nodes included, int64 `[b]`.
        all_y: unit rows of X^(k) of all nodes as they are now; asked for where changed rows of x
            meet them, and where the minimum is searched again.
    """
    added = total(y.after) - total(y.before)
    s, drift = sums.total + added, sums.drift + float(added.norm())
    if drift > DRIFT * float(s.norm()):
        each, drift = sums_with(x, s), 0.0
    else:
        each = torch.cat([sums.each, sums.each.new_zeros(len(x) - len(sums.each))])
        each += x @ added.float()
        each[changed_x] = sums_with(x[changed_x], s)
    nonnegative = sums.nonnegative and bool((x[changed_x] >= 0).all())
    minimum = sums.minimum
    if minimum is not None and not (nonnegative and _is_zero(minimum, changed_x, y.ids)):
        minimum = least(minimum, x, changed_x, y, all_y)
    return Sums(s, each, minimum, drift, nonnegative)


def least(
    known: MinCosine,
    x: Tensor,
    changed_x: Tensor,
    y: ChangedRows,
    all_y: Callable[[], Tensor],
) -> MinCosine:
    r"""$\min_{ij}\hat x_i\cdot\hat y_j$ after a change.

    All pairs are searched again where the pair that attained the minimum has changed, and no
    changed pair is as low. Rows without negative entries settle at 0 as soon as a pair is found
    whose supports have nothing in common.
    """
    touched = _touched(known.pair, changed_x, y.ids)
    found = replace(known, value=math.inf, pair=(-1, -1)) if touched else known
    if len(y.ids):
        found = _lower(found, x, y.after, None, y.ids)
    if len(changed_x):
        found = _lower(found, x[changed_x], all_y(), changed_x, None)
    return _lower(found, x, all_y(), None, None) if found.value > known.value else found


def _touched(pair: tuple[int, int], x: Tensor, y: Tensor) -> bool:
    return bool((x == pair[0]).any() or (y == pair[1]).any())


def _is_zero(minimum: MinCosine, x: Tensor, y: Tensor) -> bool:
    """Nothing can be lower of rows without negative entries."""
    return minimum.value <= 0 and not _touched(minimum.pair, x, y)


def _lower(
    known: MinCosine, x: Tensor, y: Tensor, rows: Tensor | None, columns: Tensor | None
) -> MinCosine:
    """The less of a minimum and of that of x and y, whose rows are of these nodes; None: of all."""
    found = min_cosine(x, y, below=known.value)
    (i, j), evaluated = found.pair, known.pairs_evaluated + found.pairs_evaluated
    if i < 0:
        return replace(known, pairs_evaluated=evaluated)
    pair = i if rows is None else int(rows[i]), j if columns is None else int(columns[j])
    return MinCosine(found.value, pair, evaluated, max(known.cones, found.cones))
