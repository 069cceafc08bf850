"""The mean degree of a node's neighbours, as a measure of influence."""

from torch import Tensor

from infgrand_dgl.influence.measure import Inputs
from infgrand_dgl.ops import spmm
from infgrand_dgl.registry import Measure, measures


def neighbor_degree(inputs: Inputs) -> Tensor:
    r"""$\frac{1}{|N(i)|}\sum_{j\in N(i)} |N(j)|$, float64 `[N]`."""
    csr = inputs.csr
    lengths = csr.row_lengths.double()
    return spmm(csr, lengths[:, None], row_scale=lengths.reciprocal())[:, 0]


measures.add(Measure("neighbor-degree", label="Neighbours' degree", scores=neighbor_degree))
