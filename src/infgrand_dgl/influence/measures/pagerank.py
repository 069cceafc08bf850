"""PageRank (Brin and Page, 1998)."""

import torch
from torch import Tensor

from ...ops import spmm
from ...ops.spmm import edge_values
from ...registry import Measure, measures
from ..measure import Inputs

DAMPING = 0.85
TOLERANCE = 1e-10  # of the distribution's sum, when its change counts as none


def pagerank(inputs: Inputs) -> Tensor:
    r"""The stationary distribution of a random surfer, $r = (1 - d)/N + d\,A S^{-1} r$, float64
    `[N]`, sums to 1.

    On the completed graph: every node has its self-loop, so that no surfer is ever stuck. A surfer
    takes an edge in proportion to its weight.
    """
    csr, d = inputs.csr, DAMPING
    N = csr.num_rows
    inverse, weights = csr.row_sums.double().reciprocal(), edge_values(csr, torch.float64)
    r = torch.full((N, 1), 1 / N, dtype=torch.float64, device=csr.indptr.device)
    while True:
        before, r = r, (1 - d) / N + d * spmm(csr, r, col_scale=inverse, values=weights)
        if float((r - before).abs().sum()) < TOLERANCE:
            return r[:, 0]


measures.add(Measure("pagerank", label="PageRank", place=3, scores=pagerank))
