"""What students minimise (paper: "Influence-Guided Distillation Loss")."""

from .loss import DistillationLoss, supervised_loss

__all__ = ["DistillationLoss", "supervised_loss"]
