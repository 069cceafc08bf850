"""The section `student`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from .fields import Epochs, Layers, Width
from .section import Section


class StudentConfig(Section):
    """An MLP, or what has one behind a layer for every hop."""

    model: Literal["mlp", "sign", "gamlp"] = "mlp"
    """Its architecture: an MLP of X~; or of X^(0) to X^(P), with a linear layer for each (sign), or
    with attention over them (gamlp)."""
    features: Literal["auto", "raw", "propagated"] = "auto"
    """What it reads; auto: the propagated features of infgrand and grand, the raw ones of other
    methods."""
    layers: Layers = 2
    """Number of layers."""
    hidden: Width = 256
    """Width of the hidden layers."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Of hidden layers."""
    input_dropout: float = Field(0.0, ge=0, lt=1)
    """Of what it reads."""
    norm: Literal["none", "batch", "layer"] = "none"
    """Normalization of hidden layers."""
    lr: float = Field(0.01, gt=0)
    """Learning rate of Adam."""
    weight_decay: float = Field(5e-4, ge=0)
    """L2 penalty of Adam."""
    ema: float = Field(0.0, ge=0, lt=1)
    """β, the decay of an exponential moving average of its weights over steps, which is what is
    validated and kept; 0: none."""
    epochs: Epochs | None = None
    """At most, of student and baselines; null: `train.epochs`."""
    batch_size: int | None = Field(None, ge=2)
    """Nodes per step; null: all where they fit."""

    @property
    def reads_hops(self) -> bool:
        """Whether it reads X^(0) to X^(P) side by side."""
        return self.model != "mlp"

    @model_validator(mode="after")
    def _deep_enough(self) -> StudentConfig:
        if self.model == "sign" and self.layers < 2:
            raise ValueError("layers: model: sign needs 2 or more")
        return self
