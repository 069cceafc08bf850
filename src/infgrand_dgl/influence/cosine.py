r"""Global influence scores (paper: "Measuring Node Influence").

The influence of node i on node j after k hops is taken to be $\cos(x_i, x_j^{(k)})$; the global
score of node i sums it over all j. Over unit rows $\hat x_i$ and $\hat y_j$ (of $X$ and
$X^{(k)}$) that sum is one inner product,

$$\sum_j \hat x_i\cdot\hat y_j = \hat x_i\cdot s,\qquad s = \sum_j \hat y_j,$$

so no pair of nodes is ever formed. With the authors' global min-max scaling the range cancels:

$$I_g(i) = \frac{\hat x_i\cdot s - N m}{\max_l\,\hat x_l\cdot s - N m},\qquad
  m = \min_{ij}\,\hat x_i\cdot\hat y_j .$$
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import check_choice
from ..features.matrix import FeatureMatrix
from ..graph.csr import CSRGraph
from ..propagation.equation import Propagation
from ..system.arrays import empty
from .measure import Normalization
from .minimum import MinCosine, min_cosine

Algorithm = Literal["closed_form", "blocked"]


# Of the blocked algorithm on each device, and the bytes that it holds for each pair.
PAIRS_AT_ONCE = {"cpu": 1 << 26, "cuda": 1 << 30}
BYTES_PER_PAIR = 12
SUMMED_COLUMNS = 1 << 16  # at a time, in float64
ELEMENTS = 1 << 22  # of the closed form that a GPU has in float64 at a time: few launches, 32 MB

# An inner product of unit rows in float32 says nothing below this.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Influence:
    """Scores `[N]` float32, and how the minimum was certified where one was needed."""

    scores: Tensor
    minimum: MinCosine | None = None


@torch.no_grad()
def cosine_influence(
    csr: CSRGraph,
    features: Tensor,
    *,
    hops: int = 2,
    normalization: Normalization = "minmax",
    self_loop_weight: float = 1.0,
    algorithm: Algorithm = "closed_form",
    num_columns: int | None = None,
) -> Influence:
    """`influence_scores` with its certificate, and two more choices.

    Args:
        algorithm: "blocked" visits all N² pairs as the authors do, block by block.
        num_columns: sum over the first so many nodes j only (the authors' inductive code); the
            minimum still runs over all pairs.
    """
    propagation = Propagation(hops, self_loop_weight)
    check_choice("normalization", normalization, get_args(Normalization))
    x = FeatureMatrix(features).checked_dense(csr.num_rows)
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    scale = harmless_scale(float(torch.linalg.vector_norm(x, ord=math.inf)))
    if scale != 1:
        x = x * scale
    y = propagation.of(csr, x) if hops else x
    x, y = unit_rows(x), unit_rows(y)
    counted = y if num_columns is None else y[:num_columns]
    if normalization == "minmax":
        return (minmax if algorithm == "closed_form" else blocked_minmax)(x, y, counted)
    return normalized(sums_with(x, total(counted)), normalization)


def harmless_scale(largest: float) -> float:
    """What X is multiplied by so that no sum of its rows overflows; cosines do not see it."""
    exponent = math.frexp(largest)[1]
    return 2.0**-exponent if abs(exponent) > 30 else 1.0


def minmax(x: Tensor, y: Tensor, counted: Tensor) -> Influence:
    """The closed form over unit rows x and y, `[N, D]`, summed over the rows `counted` of y."""
    return normalized(sums_with(x, total(counted)), "minmax", len(counted), min_cosine(x, y))


def normalized(
    sums: Tensor, normalization: Normalization, count: int = 0, minimum: MinCosine | None = None
) -> Influence:
    """The influence of sums over `count` nodes; "minmax" needs the minimum cosine."""
    if normalization == "none":
        return Influence(sums.float())
    if minimum is None:
        return Influence(_over_largest(sums.clamp(min=0)).float())
    least = count * minimum.value
    rounding = ROUNDING * (float(sums.abs().max()) + abs(least))
    return Influence(_over_largest(sums - least, rounding).float(), minimum)


def blocked_minmax(x: Tensor, y: Tensor, counted: Tensor) -> Influence:
    """The authors' algorithm over the same operands: two passes over all pairs, in blocks."""
    rows = max(1, pairs_at_once(x.device) // len(y))
    buffer = x.new_empty(min(rows, len(x)), len(y))  # for all: memory that is freed may be kept

    def cosines(block: Tensor, y: Tensor) -> Tensor:
        return torch.mm(block, y.T, out=buffer[: len(block), : len(y)])

    extremes = [torch.aminmax(cosines(block, y)) for block in x.split(rows)]
    low = torch.stack([e.min for e in extremes]).min().double()
    span = torch.stack([e.max for e in extremes]).max().double() - low
    if span <= ROUNDING:
        return Influence(torch.ones(len(x), device=x.device))
    sums = x.new_zeros(len(x), dtype=torch.float64)
    for block, out in zip(x.split(rows), sums.split(rows), strict=True):
        scaled = cosines(block, counted).sub_(low).div_(span)
        for part in scaled.split(SUMMED_COLUMNS, dim=1):
            out += part.sum(dim=1, dtype=torch.float64)
    return Influence(_over_largest(sums).float())


def pairs_at_once(device: torch.device) -> int:
    """Of the blocked algorithm; on a GPU with little memory left, fewer."""
    pairs = PAIRS_AT_ONCE[device.type]
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        pairs = min(pairs, (torch.cuda.mem_get_info(device)[0] + unused) // BYTES_PER_PAIR)
    return pairs


def total(y: Tensor) -> Tensor:
    r"""$s = \sum_j \hat y_j$ in float64, `[D]`."""
    s = y.new_zeros(y.shape[1], dtype=torch.float64)
    for rows in _in_float64(y):
        s += rows.sum(dim=0)
    return s


def sums_with(x: Tensor, s: Tensor) -> Tensor:
    r"""$\hat x_i\cdot s$ in float64, `[N]`."""
    return torch.cat([rows @ s for rows in _in_float64(x)])


def _in_float64(x: Tensor) -> Iterator[Tensor]:
    """x in float64, some rows at a time, in one buffer, which a CPU's cache holds."""
    rows = 1 << 12 if x.device.type == "cpu" else max(1, ELEMENTS // max(1, x.shape[1]))
    buffer = x.new_empty(min(len(x), rows), x.shape[1], dtype=torch.float64)
    for rows in x.split(len(buffer) or 1):
        yield buffer[: len(rows)].copy_(rows)


def unit_rows(x: Tensor) -> Tensor:
    """Rows scaled to unit length, however short or long; zero rows stay zero."""
    norm = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    plain = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    unit = torch.div(x, norm, out=empty(tuple(x.shape), x.dtype) if plain else torch.empty_like(x))
    # Squares overflow or lose digits beyond these: such rows, and zero ones, are scaled first.
    extreme = ((norm < 1e-15) | (norm > 1e15)).flatten().nonzero().flatten()
    if len(extreme):
        rows = x[extreme]
        largest = torch.linalg.vector_norm(rows, ord=math.inf, dim=1, keepdim=True)
        rows = rows / torch.where(largest > 0, largest, 1)
        norm = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        unit[extreme] = rows / torch.where(norm > 0, norm, 1)
    return unit


def _over_largest(sums: Tensor, rounding: float = 0.0) -> Tensor:
    """Sums over the largest; where that is mere rounding no node stands out: every score is 1."""
    largest = sums.max()
    return sums / largest if largest > rounding else torch.ones_like(sums)
