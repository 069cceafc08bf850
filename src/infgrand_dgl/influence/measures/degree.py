"""The number of neighbours."""

from torch import Tensor

from ...registry import Measure, measures
from ..measure import Inputs


def degree(inputs: Inputs) -> Tensor:
    """Neighbours of a node, itself not counted, whatever their edges weigh, float64 `[N]`."""
    return inputs.csr.row_lengths.double() - 1


measures.add(Measure("degree", label="Degree", place=4, scores=degree))
