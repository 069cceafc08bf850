"""Personalized PageRank of many starts at once."""

import torch
from torch import Tensor

from ..ops import spmm
from ..ops.propagate import inverse_sqrt_degree
from ..ops.spmm import edge_values
from .measure import Inputs

RESTART = 0.15  # a
TOLERANCE = 1e-10  # of the sum of all magnitudes, when their change counts as none


@torch.no_grad()
def personalized(inputs: Inputs, start: Tensor) -> Tensor:
    r"""$\Pi B$ of $B$ `[N, K]` float64, with $\Pi = a\,(I - (1 - a)\tilde A)^{-1}$: the limit of
    $Y \leftarrow a B + (1 - a)\,\tilde A Y$.

    $\tilde A$ is the symmetric one of the propagation, with its self-loop weight w, as in APPNP and
    ReNode; so $\Pi$ is symmetric, and a column of it may be read as a row.
    """
    csr, w = inputs.csr, inputs.self_loop_weight
    scale, weights = inverse_sqrt_degree(csr, w, torch.float64), edge_values(csr, torch.float64)
    y, base = start, RESTART * start
    while True:
        spread = spmm(csr, y, scale, scale, self_weight=w - 1, values=weights)
        before, y = y, torch.add(base, spread, alpha=1 - RESTART)
        if float((y - before).abs().sum()) <= TOLERANCE * float(y.abs().sum()):
            return y
