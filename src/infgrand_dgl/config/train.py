"""The section `train`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from .fields import Epochs, MethodName, MetricName, Precision, Seed
from .section import Section


class TrainConfig(Section):
    """What teacher, student and baselines have in common."""

    epochs: Epochs = 500
    """At most."""
    patience: Epochs = 50
    """Epochs without a validation metric as high as the best, after which training ends."""
    metric: MetricName | None = None
    """What the best epoch is chosen by, on the validation nodes, and what is shown; null: accuracy
    of classes, roc_auc of several labels, r2 of numbers. roc_auc and average_precision rank the
    nodes: of two classes by class 1, of more each against the others (macro)."""
    class_weights: Literal["none", "balanced"] = "none"
    """Of the labelled nodes in the cross-entropies of teacher, student and baselines; balanced:
    every class weighs the same in all."""
    seeds: list[Seed] = Field([2022, 2023, 2024, 2025, 2026], min_length=1)
    """One run each."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU where there is one."""
    precision: Precision = "float32"
    """Of matrix products in training; tf32: on a GPU, elsewhere float32; bfloat16: autocast, and
    hidden layers are aggregated in it."""
    inputs: Literal["auto", "dense", "sparse"] = "auto"
    """How first layers take their input; auto: sparse below the density where that is faster. Of
    sign and gamlp always dense."""
    baselines: list[MethodName] = Field([])
    """Methods trained beside, for comparison, with the student's sizes and the same teacher."""
    compile: bool = False
    """torch.compile of student and baselines, but where `propagation.of` is products."""
    checkpoint_every: int = Field(20, ge=0)
    """Epochs from one checkpoint to the next; 0: only when interrupted."""
    tensorboard: bool = False
    """Scalars into <run>/tensorboard."""

    @field_validator("seeds", "baselines")
    @classmethod
    def _distinct(cls, values: list[Any], info: ValidationInfo) -> list[Any]:
        if len(set(values)) < len(values):
            raise ValueError(f"expected distinct {info.field_name}, found {values}")
        return values
