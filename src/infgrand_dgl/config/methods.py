"""The sections that some methods alone read (`registry.Method.sections`)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from .fields import Epochs, Hops, Width
from .section import Section


class RandomPropagationConfig(Section):
    """Of `infgrand` and `grand`: views of X~ in training, POOL of Ã^p (m ⊙ X) with nodes masked at
    random."""

    mask: float = Field(0.0, ge=0, lt=1)
    """δ, the share of nodes whose features are masked; the student is served X~, times 1 - δ."""
    views: int = Field(1, ge=1, le=64)
    """S, views of every node in a step."""
    stored: int | None = Field(None, ge=0, le=4096)
    """R views, drawn once and stored in float16, of which every epoch takes S; 0: masks are drawn
    anew for every epoch; null: that where it costs less than the training, else 12."""

    @model_validator(mode="after")
    def _enough(self) -> RandomPropagationConfig:
        if self.stored and self.stored < self.views:
            raise ValueError(
                f"stored: expected 0, or at least views: {self.views}; found {self.stored}"
            )
        return self


class ConsistencyConfig(Section):
    """Of `infgrand` and `grand`: μ·L_c, the mean over views and nodes of ‖p_s - sharpen_T(p̄)‖²."""

    weight: float = Field(0.0, ge=0)
    """μ."""
    temperature: float = Field(0.5, gt=0)
    """T; the lower, the sharper."""
    threshold: float = Field(0.0, ge=0, lt=1)
    """Only nodes whose likeliest class has more than this in p̄ count."""
    warm_up: int = Field(0, ge=0)
    """Epochs in which μ grows to its value, evenly."""


class KRDConfig(Section):
    """Of `krd`: the sampling of its edges."""

    warm_up: int = Field(49, ge=0)
    """Epochs on all edges before sampling."""
    every: Epochs = 1
    """Epochs from one sample to the next."""
    momentum: float = Field(0.99, ge=0, le=1)
    """Of the fitted power α."""
    power: float = Field(1.0, gt=0)
    """α at first."""


class HGMDConfig(Section):
    """Of `hgmd`: the sampling of its edges, and what becomes of them."""

    variant: Literal["mixup", "weight"] = "mixup"
    """Soft labels mixed along an edge, or edges weighted."""
    alpha: float = Field(5.0, gt=0)
    """α, of the probability of an edge; a hundredth of it at the end."""
    beta: float = Field(0.4, gt=0)
    """β of Beta(β, β), of `mixup`."""


class NosmogConfig(Section):
    """Of `nosmog`: its positions, its similarity and its adversary."""

    dimension: Width = 64
    """Of DeepWalk's positions, which the student reads beside the features."""
    walk_length: int = Field(50, ge=2, le=1000)
    """Nodes of a walk."""
    walks: int = Field(5, ge=1, le=10_000)
    """Walks from every node."""
    window: int = Field(5, ge=1, le=1000)
    """Of skip-gram, to either side."""
    iterations: int = Field(1, ge=1, le=1000)
    """Of skip-gram over the walks."""
    similarity: float = Field(0.1, ge=0)
    """Weight of L_sim, the mean over pairs of nodes of the squared difference of the products of
    their hidden states, the teacher's and the student's."""
    adversarial: float = Field(0.1, ge=0)
    """Weight of L_adv, the loss of inputs that are changed so that it rises."""
    epsilon: float = Field(0.04, ge=0)
    """ε, the largest change of an input."""
    steps: Hops = 5
    """Of projected gradient ascent, ε/4 each."""
