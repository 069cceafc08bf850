"""Global influence scores (paper: "Measuring Node Influence")."""

from .scores import Spread, influence_scores, spread

__all__ = ["Spread", "influence_scores", "spread"]
