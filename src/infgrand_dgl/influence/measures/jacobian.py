"""The influence distribution of SGC, which the cosine stands for."""

from torch import Tensor, float64

from ...ops import propagate
from ...registry import Measure, measures
from ..measure import Inputs


def jacobian(inputs: Inputs) -> Tensor:
    r"""$\sum_j |\partial x_j^{(k)}/\partial x_i^{(0)}| = \sum_j |(\tilde A^k)_{ji}|$, float64
    `[N]`: one product per hop.

    No entry of Ã is negative, so the sum of magnitudes is the column sum; Ã is symmetric, so that
    is $\tilde A^k \mathbf 1$.
    """
    csr, w = inputs.csr, inputs.self_loop_weight
    ones = csr.row_lengths.new_ones(csr.num_rows, 1, dtype=float64)
    return propagate(csr, ones, hops=inputs.hops, pooling="last", self_loop_weight=w)[:, 0]


measures.add(Measure("jacobian", label="Jacobian", place=2, scores=jacobian))
