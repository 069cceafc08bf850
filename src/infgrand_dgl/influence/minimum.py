r"""The exact minimum of $x_i\cdot y_j$ over all pairs of unit rows, without visiting all pairs.

Propagated rows $y_j$ are smooth: they sit in few narrow cones. With $c$ the axis of the cone that
holds $y_j$, the angle between $x_i$ and $y_j$ is at most $\angle(x_i,c)+\angle(y_j,c)$, so a pair
can undercut a known value $v$ only if

$$\angle(x_i, c) + \angle(y_j, c) \ge \arccos v .$$

Sorted by angle, the pairs that pass are a staircase in one corner of each cone's block; those are
evaluated, the others are certified. More and narrower cones leave fewer pairs and cost more
inner products; a sample decides. Where nothing prunes, all pairs are visited in blocks.

The compiled scan of the CPU looks at a second bound first: with $P$ the projection on a few
directions, $x_i\cdot y_j \ge Px_i\cdot Py_j - |x_i-Px_i|\,|y_j-Py_j|$.

Every bound carries a margin for its rounding, and the winner is decided in float64.
"""

import logging
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..ops import Cones, _library, min_over_cones, min_over_cones_reference, nearest_axis
from ..ops.cones import DIRECTIONS, BestPair
from ..system.precision import float32_products

log = logging.getLogger(__name__)

SAMPLE = 1024  # rows of x and of y on which a number of cones is judged
STARTS = 8  # columns from which the upper bound descends
ROUNDS = 16  # of the descent, at most
# What a pair costs, in inner products with an axis: where cones leave it, where nothing prunes.
# (On a GPU an estimate: the price changes the work, never the result.)
COMPILED, PLAIN = {"cpu": (0.4, 0.4), "cuda": (1.5, 0.5)}, (4.0, 1.0)
NUMBERS_OF_CONES = (1, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True)
class MinCosine:
    """The minimum, a pair that attains it, and the certificate's price."""

    value: float
    pair: tuple[int, int]  # (-1, -1): no pair lies below the bound that was given
    pairs_evaluated: int
    cones: int  # 0: no bound was needed, or none could prune

    def share(self, num_pairs: int) -> float:
        """Share of all pairs whose inner product was computed (some twice, in small sets)."""
        return min(1.0, self.pairs_evaluated / num_pairs)


@torch.no_grad()
def min_cosine(x: Tensor, y: Tensor, *, seed: int = 0, below: float = math.inf) -> MinCosine:
    r"""$\min_{ij} x_i\cdot y_j$, exact in float64 for the rows as stored.

    Of blocks of rows the minimum is that of all pairs of blocks, each searched below the least of
    those before: $\min(v, \min_{ij} x_i\cdot y_j)$ with $v$ = `below`.

    Args:
        x: `[N, D]`, float32 or float64; every row has unit norm or is zero.
        y: `[M, D]`, likewise, on the device of `x`.
        seed: of the sample that chooses the cones; it changes the work, never the result.
        below: a value that is known already; the nearer to the minimum, the less the work.

    Raises:
        ValueError: an empty operand, or operands of different width, dtype or device.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or not len(x) or not len(y):
        raise ValueError(
            f"min_cosine: x and y must be [N, D] and [M, D] with N, M > 0, "
            f"found {list(x.shape)} and {list(y.shape)}"
        )
    if x.dtype != y.dtype or x.device != y.device:
        raise ValueError("min_cosine: x and y must have the same dtype and device")
    # A zero row meets every row at 0, and has no angle to bound: it is settled here.
    (x, i, zero_i), (y, j, zero_j) = _nonzero_rows(x), _nonzero_rows(y)
    minimum = MinCosine(below, (-1, -1), 0, 0)
    if (zero_i is not None or zero_j is not None) and below > 0:
        minimum = MinCosine(0.0, (zero_i or 0, zero_j or 0), 0, 0)
    if len(x) and len(y):
        search = _Search(x, y, torch.Generator().manual_seed(seed), minimum.value)
        with float32_products("highest"):  # the margins do not hold for tf32
            cones = search.run()
        a, b = search.best.pair
        pair = minimum.pair if a < 0 else (int(i[a]), int(j[b]))
        minimum = MinCosine(search.best.value, pair, search.evaluated, cones)
    log.info("%s", minimum)
    return minimum


def _nonzero_rows(rows: Tensor) -> tuple[Tensor, Tensor, int | None]:
    """The rows that are not zero, their ids, and the id of one that is."""
    zero = torch.linalg.vector_norm(rows, dim=1) == 0
    first = zero.nonzero().flatten()[:1].tolist()
    ids = (~zero).nonzero().flatten()
    return (rows[ids], ids, first[0]) if first else (rows, ids, None)


def min_cosine_reference(x: Tensor, y: Tensor) -> float:
    r"""$\min_{ij} x_i\cdot y_j$ over all pairs in float64: the definition."""
    y = y.double()
    return min(float((rows.double() @ y.T).min()) for rows in x.split(SAMPLE))


class _Search:
    """The best pair so far, and the steps that improve it until it is certified. No zero rows."""

    def __init__(self, x: Tensor, y: Tensor, generator: torch.Generator, value: float) -> None:
        self.x, self.y, self.generator = x.contiguous(), y.contiguous(), generator
        # Bounds the rounding of an inner product and of a norm of D terms.
        self.eps = (x.shape[1] + 8) * torch.finfo(x.dtype).eps
        self.compiled = x.device.type in _library.loaded()
        self.best = BestPair(self.x, self.y, value)
        self.evaluated = 0

    def run(self) -> int:
        """Finds and certifies the minimum; returns how many cones it took, 0 without any."""
        if self.settled():
            return 0
        self.descend()
        if self.settled():
            return 0
        axes = self.choose_cones()
        self.scan_cones(axes) if len(axes) else self.scan_all()
        return len(axes)

    def settled(self) -> bool:
        """Non-negative rows: nothing lies below a pair with disjoint support."""
        return self.best.value <= 0 and bool(self.x.amin() >= 0 and self.y.amin() >= 0)

    def descend(self) -> None:
        """Alternates i <- argmin_i x_i·y_j and j <- argmin_j x_i·y_j: a good upper bound."""
        # On every eighth row until it stalls, then once on all, with the best four.
        step = 8 if min(len(self.x), len(self.y)) >= 16 * SAMPLE else 1
        x, y = self.x[::step], self.y[::step]
        # From the columns furthest from the mean row of x, and from random ones.
        far = (y @ x.mean(dim=0)).topk(min(STARTS, len(y)), largest=False).indices
        j = step * torch.cat([far, self.pick(y, STARTS)])
        for _ in range(ROUNDS):
            before = self.best.value
            i, j = self.descend_once(x, y, j, step)
            if self.best.value >= before:
                break
        if step > 1:
            cosine = torch.linalg.vecdot(self.x[i], self.y[j])
            self.descend_once(self.x, self.y, j[cosine.topk(4, largest=False).indices], 1)

    def descend_once(self, x: Tensor, y: Tensor, j: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The next rows i and columns j; x and y are every `step`-th."""
        i = step * (x @ self.y[j].T).argmin(dim=0)
        j = step * (y @ self.x[i].T).argmin(dim=0)
        self.evaluated += (len(x) + len(y)) * len(j)
        self.best.offer(i, j)
        return i, j

    def pick(self, rows: Tensor, count: int) -> Tensor:
        """Ids of `count` random rows, or of as many as there are, without replacement."""
        if count >= len(rows):
            return torch.arange(len(rows), device=rows.device)
        drawn = torch.randint(len(rows), (count,), generator=self.generator).unique()
        return drawn.to(rows.device)

    # Bounds: angles rounded up, the threshold rounded down.

    @property
    def threshold(self) -> float:
        """Pairs at a smaller angle than this cannot beat the best one."""
        return math.acos(min(1.0, max(-1.0, self.best.value + 4 * self.eps))) - 1e-6

    def angle_from_dot(self, dot: Tensor) -> Tensor:
        return dot.sub_(4 * self.eps).clamp_(-1, 1).acos_().add_(1e-6)

    # Cones

    def choose_cones(self) -> Tensor:
        """Axes `[K, D]`, K grown until the pairs left cost less than the cones; K = 0: all pairs.

        Costs are in inner products: N·K + M·K for the angles, 3·64·K² for the axes, and the price
        of each of the N·M pairs that a sample says will be left.
        """
        N, M = len(self.x), len(self.y)
        in_cone, in_all = COMPILED[self.x.device.type] if self.compiled else PLAIN
        xs, ys = self.x[self.pick(self.x, SAMPLE)], self.y[self.pick(self.y, SAMPLE)]
        best, best_cost = self.x.new_empty(0, self.x.shape[1]), in_all * N * M
        for K in NUMBERS_OF_CONES:
            price = K * (N + M) + 192 * K * K
            if price >= best_cost:
                break
            axes = self.find_axes(K)
            cone, angle = self.nearest(ys, axes)
            left = self.angle_from_dot(xs @ axes.T)[:, cone] >= self.threshold - angle
            cost = price + in_cone * N * M * int(left.count_nonzero()) / left.numel()
            if cost < best_cost:
                best, best_cost = axes, cost
        return best

    def find_axes(self, count: int, rounds: int = 3) -> Tensor:
        """Spherical k-means on a sample of y."""
        sample = self.y[self.pick(self.y, max(SAMPLE, 64 * count))]
        axes = sample[self.pick(sample, count)]
        for _ in range(rounds if count > 1 else 1):
            owner, _ = self.nearest(sample, axes)
            sums = torch.zeros_like(axes).index_add_(0, owner, sample)
            norms = torch.linalg.vector_norm(sums, dim=1, keepdim=True)
            axes = torch.where(norms > 1e-6, sums / norms, axes)
        norms = torch.linalg.vector_norm(axes, dim=1, keepdim=True)
        return axes / norms

    def scan_cones(self, axes: Tensor) -> None:
        """Evaluates every pair that the cones do not exclude."""
        owner, angle = self.nearest(self.y, axes)
        members = (4.0 * owner - angle.double()).argsort(stable=True)  # by cone, widest first
        # Row i need not meet member j where x_i·c is above this.
        reach = (self.threshold - angle[members]).double()
        limits = torch.where(reach > 0, reach.cos() + 4 * self.eps + 1e-5, 2.0)
        sizes = owner.bincount(minlength=len(axes))
        self.scan(Cones(axes, sizes, members, limits.to(axes.dtype)))

    def scan_all(self) -> None:
        """One cone that excludes nothing; on a GPU the library's product is the faster one."""
        axes, limits = torch.zeros_like(self.y[:1]), torch.full_like(self.y[:, 0], 2)
        members = torch.arange(len(self.y), device=self.y.device)
        self.scan(Cones(axes, members.new_tensor([len(self.y)]), members, limits), self.x.is_cuda)

    def nearest(self, rows: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest axis of every row, and the angle to it."""
        owner, distance = nearest_axis(rows, axes)
        # Precise at small angles, where arccos is not.
        return owner, distance.add_(2 * self.eps).div_(2).clamp_(max=1).asin_().mul_(2).add_(1e-6)

    def scan(self, cones: Cones, plain: bool = False) -> None:
        """Offers the least pair of the cones, found by the op or in plain torch."""
        settings: dict[str, Any] = {"below": self.best.value, "eps": self.eps}
        if self.compiled and not self.x.is_cuda:
            settings["directions"] = self.find_directions()
        op = min_over_cones_reference if plain else min_over_cones
        i, j, evaluated = op(self.x, self.y, cones, **settings)
        self.evaluated += evaluated
        if i >= 0:
            self.best.offer(cones.members.new_tensor([i]), cones.members.new_tensor([j]))

    def find_directions(self, rounds: int = 4) -> Tensor:
        """Orthonormal `[DIRECTIONS, D]`, about the principal ones of x; zeros where D is less."""
        sample = self.x[self.pick(self.x, SAMPLE)]
        Q = sample[self.pick(sample, DIRECTIONS)].T
        for _ in range(rounds):
            Q = torch.linalg.qr(sample.T @ (sample @ Q)).Q
        out = sample.new_zeros(DIRECTIONS, sample.shape[1])
        out[: Q.shape[1]] = Q.T
        return out
