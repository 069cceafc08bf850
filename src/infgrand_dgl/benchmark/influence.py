"""`benchmark influence`: the closed form against the algorithms that visit all pairs.

Every contender starts from X and X^(2) and ends with the scores I_g of all nodes; the two-hop
product that makes X^(2) is a row of its own.
"""

from collections.abc import Callable
from itertools import islice

import torch
from torch import Tensor

from ..data import NodeDataset
from ..influence import Influence, blocked_minmax, minmax, unit_rows
from ..ops import propagation_steps
from .harness import Contender, Row


def contenders(dataset: NodeDataset, device: torch.device) -> list[Contender]:
    csr, x = dataset.csr.to(device), dataset.dense_features().to(device)
    N = csr.num_rows

    def product() -> Tensor:
        return next(islice(propagation_steps(csr, x, 1.0), 1, None))

    y = product()

    def scores(algorithm: Callable[[Tensor, Tensor, Tensor], Influence]) -> Influence:
        a, b = unit_rows(x), unit_rows(y)
        return algorithm(a, b, b)

    reference = scores(minmax).scores

    def describe(found: Influence, seconds: float) -> Row:
        evaluated = found.minimum.pairs_evaluated if found.minimum else N * N
        return {
            "node_pairs_per_second": N * N / seconds,
            "pairs_evaluated": evaluated / (N * N),
            "max_abs_difference": float((found.scores - reference).abs().max()),
        }

    return [
        Contender("infgrand", lambda: scores(minmax), describe),
        Contender("blocked", lambda: scores(blocked_minmax), describe),
        # All pairs, scaled out of place: two N² matrices and the rows.
        Contender("dense", lambda: scores(dense), describe, needs=2 * 4 * N * N + 16 * x.numel()),
        Contender("two_hop_product", product),
    ]


def dense(x: Tensor, y: Tensor, counted: Tensor) -> Influence:
    """The authors' algorithm with its N×N matrix."""
    cosine = x @ y.T
    low, high = torch.aminmax(cosine)
    sums = ((cosine - low) / (high - low)).sum(dim=1)
    return Influence(sums / sums.max())
