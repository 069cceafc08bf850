"""The paper's measure."""

from torch import Tensor

from ...registry import Measure, measures
from ..measure import Inputs


def cosine(inputs: Inputs) -> Tensor:
    r"""$\sum_j \cos(x_i, x_j^{(k)})$, as `influence.cosine` computes and normalizes it."""
    assert inputs.cosine is not None
    return inputs.cosine


measures.add(
    Measure(
        "cosine",
        label="Cosine",
        place=1,
        scores=cosine,
        needs_cosine=True,
        normalized=True,
        settings=frozenset({"inductive", "algorithm"}),
    )
)
