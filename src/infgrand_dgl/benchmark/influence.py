"""`benchmark influence`: the closed form against the algorithms that visit all pairs.

Every contender starts from X and X^(2) and ends with the scores I_g of all nodes; the two-hop
product that makes X^(2) is a row of its own.
"""

from collections.abc import Callable
from functools import partial
from itertools import islice

import torch
from torch import Tensor

from ..data import NodeDataset
from ..influence.cosine import (
    BYTES_PER_PAIR,
    PAIRS_AT_ONCE,
    Influence,
    blocked_minmax,
    minmax,
    unit_rows,
)
from ..ops import propagation_steps
from .harness import Contender, Row

SCANNED = 300_000  # nodes; on two cores a scan of all their pairs takes twelve minutes
Algorithm = Callable[[Tensor, Tensor, Tensor], Influence]


def contenders(
    dataset: NodeDataset, device: torch.device, all_pairs: bool = False
) -> list[Contender]:
    """`all_pairs`: the blocked scan takes part also above `SCANNED` nodes."""
    csr, x = dataset.csr.to(device), dataset.dense_features().to(device)
    N, rows = csr.num_rows, 4 * x.numel()

    def product() -> Tensor:
        return next(islice(propagation_steps(csr, x, 1.0), 1, None))

    y = product()

    def scores(algorithm: Algorithm) -> Influence:
        a, b = unit_rows(x), unit_rows(y)
        return algorithm(a, b, b)

    reference = scores(minmax).scores

    def describe(result: Influence) -> Row:
        evaluated = result.minimum.pairs_evaluated if result.minimum else N * N
        return {
            "pairs_evaluated": evaluated / (N * N),
            "max_abs_difference": float((result.scores - reference).abs().max()),
        }

    def contender(method: str, algorithm: Algorithm, needs: int, missing: str = "") -> Contender:
        return Contender(
            method,
            lambda: partial(scores, algorithm),
            describe,
            lambda seconds: {"node_pairs_per_second": N * N / seconds},
            needs=2 * rows + needs,  # of unit length, both
            missing=missing,
        )

    above = "" if N <= SCANNED or all_pairs else f"above {SCANNED:,} nodes only with --blocked"
    block = BYTES_PER_PAIR * min(PAIRS_AT_ONCE["cpu"], N * N)  # fewer rows at once do, too
    return [
        contender("infgrand", minmax, 0),
        contender("blocked", blocked_minmax, block, above),
        # All pairs, scaled out of place: two N² matrices.
        contender("dense", dense, 2 * 4 * N * N),
        Contender("two_hop_product", lambda: product, needs=2 * rows),
    ]


def dense(x: Tensor, y: Tensor, counted: Tensor) -> Influence:
    """The authors' algorithm with its N×N matrix."""
    cosine = x @ y.T
    low, high = torch.aminmax(cosine)
    sums = ((cosine - low) / (high - low)).sum(dim=1)
    return Influence(sums / sums.max())
