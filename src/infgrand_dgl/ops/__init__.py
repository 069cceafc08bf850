"""The extension's ops, each with its fake, its autograd and a pure-torch reference."""

from ._library import built, loaded
from .edge_kl import Direction, edge_dot, edge_dot_reference, edge_kl
from .gat_aggregate import gat_aggregate, gat_aggregate_reference
from .propagate import Pooling, propagate, propagate_reference, propagation_steps
from .spmm import spmm, spmm_reference

__all__ = [
    "Direction",
    "Pooling",
    "built",
    "edge_dot",
    "edge_dot_reference",
    "edge_kl",
    "gat_aggregate",
    "gat_aggregate_reference",
    "loaded",
    "propagate",
    "propagate_reference",
    "propagation_steps",
    "spmm",
    "spmm_reference",
]
