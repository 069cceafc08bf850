"""The section `distillation`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .section import Section


class DistillationConfig(Section):
    """L = λ·L_s + (1 - λ)·L_d + μ·L_c, L_s = δ1·mean(CE) + δ2·mean(CE·I_g)."""

    lambda_: float = Field(0.1, ge=0, le=1, alias="lambda")
    """λ."""
    tau: float = Field(1.0, gt=0)
    """τ, the temperature of L_d."""
    delta1: float = Field(1.0, ge=0)
    """δ1."""
    delta2: float = Field(0.2, ge=0)
    """δ2."""
    gamma1: float = Field(1.0, ge=0)
    """γ1; neighbour j weighs γ1 + γ2·I_g(j) in L_d."""
    gamma2: float = Field(0.2, ge=0)
    """γ2."""
    kl: Literal["forward", "reverse"] = "forward"
    """KL(teacher ‖ student), the authors' code, or KL(student ‖ teacher), the paper's text."""
    edge_weighting: Literal["neighborhood", "edges"] = "edges"
    """L_d as the mean over nodes of means over neighbourhoods (the paper's text), or over edges
    (the authors' code)."""
    loss: Literal["collapsed", "apply_edges", "edge_kl"] = "collapsed"
    """How L_d is computed: as a sum over nodes, or edge by edge on DGL, or by our op."""
    assistants: int = Field(0, ge=0, le=64)
    """Of `infgrand` and `glnn`: K students that are trained first, as this one would be but for
    their random numbers; it then learns from the mean of their predictions. 0: from the teacher."""
    assistants_lambda: float | None = Field(None, ge=0, le=1)
    """λ of theirs; 1: they have no teacher. null: `lambda`."""
