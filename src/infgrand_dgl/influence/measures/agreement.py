"""How far a node's soft label agrees with its neighbourhood's."""

import torch
from torch import Tensor

from ...ops import spmm
from ...ops.spmm import edge_values
from ...registry import Measure, measures
from ..measure import Inputs

COLUMNS = 16  # of Q in float64 at a time
BLOCK_ROWS = 1 << 16  # of the logits


def agreement(inputs: Inputs) -> Tensor:
    r"""$\sum_c q_{ic}\,(S^{-1} A\,Q)_{ic}$ of $q = \sigma(h^t)$, float64 `[N]`: the chance that the
    classes which the teacher draws for a node and for a member of its row are the same.

    $A$ has one self-loop per node, which weighs 1, and $S$ its row sums: a row of $S^{-1}A$ is a
    mean, by the weights of the edges. Of several labels, which are independent given the logits,
    the mean over the labels of $q\,\bar q + (1 - q)(1 - \bar q)$.
    """
    csr, logits = inputs.csr, inputs.logits
    assert logits is not None
    C, several = logits.shape[1], inputs.task == "multilabel"
    inverse, weights = csr.row_sums.double().reciprocal(), edge_values(csr, torch.float64)
    shift = None if several else _log_sum_exp(logits)
    agree = inverse.new_zeros(csr.num_rows)
    for first in range(0, C, COLUMNS):
        z = logits[:, first : first + COLUMNS].double()
        q = z.sigmoid() if shift is None else (z - shift[:, None]).exp()
        around = spmm(csr, q, row_scale=inverse, values=weights)
        agree += torch.linalg.vecdot(q, around)
        if several:
            agree += torch.linalg.vecdot(1 - q, 1 - around)
    return agree / C if several else agree


def _log_sum_exp(logits: Tensor) -> Tensor:
    """Of each row, float64 `[N]`."""
    parts = logits.split(BLOCK_ROWS)
    return torch.cat([part.double().logsumexp(dim=1) for part in parts])


measures.add(
    Measure(
        "agreement",
        label="Agreement",
        place=7,
        scores=agreement,
        needs_teacher=True,
        tasks=("classification", "multilabel"),
    )
)
