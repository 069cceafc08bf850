"""One-time feature propagation (paper: "One-Time Feature Propagation")."""

from .equation import propagate_features

__all__ = ["propagate_features"]
