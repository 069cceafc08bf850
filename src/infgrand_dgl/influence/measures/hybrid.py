"""Cosine and entropy together."""

from torch import Tensor

from ...registry import Measure, measures
from ..measure import Inputs, normalized
from .entropy import entropy


def hybrid(inputs: Inputs) -> Tensor:
    """The product of the normalized scores, or their mix: `mix` of the cosine, the rest entropy."""
    cosine, mix = inputs.cosine, inputs.mix
    assert cosine is not None
    h = normalized(entropy(inputs), inputs.normalization)
    return cosine * h if mix is None else mix * cosine + (1 - mix) * h


measures.add(
    Measure(
        "hybrid",
        label="Hybrid",
        place=6,
        scores=hybrid,
        needs_teacher=True,
        needs_cosine=True,
        settings=frozenset({"mix"}),
        tasks=("classification", "multilabel"),
    )
)
