"""No measure: all nodes count alike."""

from torch import Tensor, float64

from ...registry import Measure, measures
from ..measure import Inputs


def uniform(inputs: Inputs) -> Tensor:
    """1, float64 `[N]`."""
    return inputs.csr.row_lengths.new_ones(inputs.csr.num_rows, dtype=float64)


measures.add(Measure("uniform", label="Uniform", place=11, scores=uniform, constant=True))
