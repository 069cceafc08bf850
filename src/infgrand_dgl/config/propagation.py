"""The section `propagation`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from .fields import Hops
from .section import Section


class PropagationConfig(Section):
    """The student's input, POOL of X^(0) to X^(P), or all of them side by side."""

    hops: Hops = 2
    """P."""
    pooling: Literal["mean", "max", "min", "last"] = "mean"
    """POOL, elementwise, or X^(P) alone; of sign and gamlp, which read all of them, none."""
    self_loop_weight: float = Field(1.0, ge=0)
    """w of the self-loops; 1 is the paper's text, 2 the authors' code."""
    of: Literal["features", "products"] = "features"
    """What is propagated in training: X, once, or in every step X W, the products of the student's
    first layer, which is the same for H columns instead of D and leaves X as sparse as it is.
    `products` takes all nodes in one step, and `student.input_dropout` is then of X."""

    @model_validator(mode="after")
    def _commutes(self) -> PropagationConfig:
        if self.of == "products" and self.pooling not in ("mean", "last"):
            raise ValueError(
                f"of: products: expected pooling: mean or last, which are linear; "
                f"found {self.pooling}"
            )
        return self
