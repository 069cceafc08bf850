"""The extension's ops, each with its fake, its autograd and a pure-torch reference."""

from ._library import built, loaded
from .spmm import spmm, spmm_reference

__all__ = ["built", "loaded", "spmm", "spmm_reference"]
