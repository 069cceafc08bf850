r"""Measures of influence beside the paper's cosine, `[N]` each.

jacobian   Σ_j |∂x_j^(k)/∂x_i^(0)| of SGC, which the cosine stands for: the column sums of Ã^k
pagerank   the stationary distribution of a random surfer, damping 0.85 (Brin and Page, 1998)
degree     neighbours of a node, itself not counted
entropy    of the teacher's soft label: KRD's and HGMD's notion of a node's weight
hybrid     of cosine and entropy: their product, or a convex mix
uniform    1
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import InputError, check_choice, check_shape
from ..graph.csr import CSRGraph
from ..ops import propagate, spmm

Measure = Literal["cosine", "jacobian", "pagerank", "degree", "entropy", "hybrid", "uniform"]
Normalization = Literal["minmax", "max", "none"]

OF_TEACHER = ("entropy", "hybrid")  # need its logits
OF_FEATURES = ("cosine", "hybrid")

DAMPING = 0.85
TOLERANCE = 1e-10  # of the distribution's sum, when its change counts as none


@torch.no_grad()
def measured(
    measure: Measure,
    csr: CSRGraph,
    *,
    hops: int,
    self_loop_weight: float,
    normalization: Normalization,
    logits: Tensor | None = None,
    cosine: Tensor | None = None,
    mix: float | None = None,
) -> Tensor:
    """The scores of a measure other than "cosine", float32 `[N]`.

    Args:
        csr: the paper's graph.
        hops, self_loop_weight: k and w of Ã^k (jacobian).
        normalization: "max" divides by the largest value, "minmax" maps the least to 0 and the
            largest to 1, "none" leaves the values; constant ones become 1 by the first two.
        logits: the teacher's, `[N, C]` (entropy, hybrid).
        cosine: the normalized cosine scores, `[N]` (hybrid).
        mix: share of the cosine in a convex mix (hybrid); None: the product.

    Raises:
        InputError: no logits, or logits of another length, where the measure needs them.
    """
    check_choice("normalization", normalization, get_args(Normalization))
    if measure in OF_TEACHER:
        if logits is None:
            raise InputError(f"measure: {measure} needs the teacher's logits")
        check_shape("logits", logits, [csr.num_rows, "C"])
        logits = logits.to(csr.indptr.device)
    if measure == "jacobian":
        values = jacobian(csr, hops, self_loop_weight)
    elif measure == "pagerank":
        values = pagerank(csr)
    elif measure == "degree":
        values = csr.row_lengths.double() - 1
    elif measure == "uniform":
        values = csr.row_lengths.new_ones(csr.num_rows, dtype=torch.float64)
    elif measure == "entropy":
        assert logits is not None
        values = entropy(logits)
    else:
        check_choice("measure", measure, ("hybrid",))
        assert logits is not None and cosine is not None
        h = normalized_values(entropy(logits), normalization)
        values = cosine * h if mix is None else mix * cosine + (1 - mix) * h
    return normalized_values(values, normalization).float()


def jacobian(csr: CSRGraph, hops: int, self_loop_weight: float = 1.0) -> Tensor:
    r"""$\sum_j |(\tilde A^k)_{ji}|$, float64 `[N]`: one product per hop.

    No entry of Ã is negative, so the sum of magnitudes is the column sum; Ã is symmetric, so that
    is $\tilde A^k \mathbf 1$.
    """
    ones = csr.row_lengths.new_ones(csr.num_rows, 1, dtype=torch.float64)
    return propagate(csr, ones, hops=hops, pooling=None, self_loop_weight=self_loop_weight)[:, 0]


def pagerank(csr: CSRGraph, damping: float = DAMPING) -> Tensor:
    r"""$r = (1 - d)/N + d\,A S^{-1} r$, float64 `[N]`, sums to 1.

    On the completed graph: every node has its self-loop, so that no surfer is ever stuck.
    """
    N = csr.num_rows
    inverse = csr.row_lengths.double().reciprocal()
    r = torch.full((N, 1), 1 / N, dtype=torch.float64, device=csr.indptr.device)
    while True:
        before, r = r, (1 - damping) / N + damping * spmm(csr, r, col_scale=inverse)
        if float((r - before).abs().sum()) < TOLERANCE:
            return r[:, 0]


def entropy(logits: Tensor) -> Tensor:
    r"""$-\sum_c q_{ic} \log q_{ic}$ of $q = \sigma(h^t)$ in nats, float64 `[N]`."""
    found = logits.new_empty(len(logits), dtype=torch.float64)
    for start in range(0, len(logits), 1 << 16):
        rows = slice(start, start + (1 << 16))
        log_q = logits[rows].double().log_softmax(dim=1)
        found[rows] = -torch.linalg.vecdot(log_q.exp(), log_q)
    return found


def normalized_values(values: Tensor, normalization: Normalization) -> Tensor:
    if normalization == "none":
        return values
    least = values.min() if normalization == "minmax" else 0.0
    span = values.max() - least
    return (values - least) / span if span > 0 else torch.ones_like(values)
