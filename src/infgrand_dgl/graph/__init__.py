"""Graphs: the CSR that the ops take, and the one bridge to DGL."""

from .convert import GraphLike, as_csr
from .csr import CSRGraph

__all__ = ["CSRGraph", "GraphLike", "as_csr"]
