"""The extension's ops, each with its fake, its autograd and a pure-torch reference."""

from ._library import built, loaded
from .propagate import Pooling, propagate, propagate_reference, propagation_steps
from .spmm import spmm, spmm_reference

__all__ = [
    "Pooling",
    "built",
    "loaded",
    "propagate",
    "propagate_reference",
    "propagation_steps",
    "spmm",
    "spmm_reference",
]
