"""How much of the training labels reaches a node."""

from torch import Tensor

from ...data.labels import labelled
from ...registry import Measure, measures
from ..measure import Inputs
from ..personalized import personalized


def label_reach(inputs: Inputs) -> Tensor:
    r"""$r_i = \sum_{l \in L} \Pi_{li}$, float64 `[N]`: `personalized` PageRank of the labelled
    nodes, for one product. The teacher is less reliable where it is small."""
    assert inputs.labels is not None
    return personalized(inputs, labelled(inputs.labels).double()[:, None])[:, 0]


measures.add(
    Measure("label-reach", label="Label reach", place=9, scores=label_reach, needs_labels=True)
)
