"""The extension's ops, each with its fake, a pure-torch reference, and autograd where it has a
gradient."""

from ._library import built, loaded
from .cones import (
    Cones,
    min_over_cones,
    min_over_cones_reference,
    nearest_axis,
    nearest_axis_reference,
)
from .edge_kl import Direction, edge_dot, edge_dot_reference, edge_kl
from .gat_aggregate import gat_aggregate, gat_aggregate_reference
from .propagate import Pooling, propagate, propagate_reference, propagation_steps
from .spmm import spmm, spmm_reference

__all__ = [
    "Cones",
    "Direction",
    "Pooling",
    "built",
    "edge_dot",
    "edge_dot_reference",
    "edge_kl",
    "gat_aggregate",
    "gat_aggregate_reference",
    "loaded",
    "min_over_cones",
    "min_over_cones_reference",
    "nearest_axis",
    "nearest_axis_reference",
    "propagate",
    "propagate_reference",
    "propagation_steps",
    "spmm",
    "spmm_reference",
]
