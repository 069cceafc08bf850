"""Graphs: the CSR that the ops take, and the one bridge to DGL."""

from .csr import CSRGraph, as_csr

__all__ = ["CSRGraph", "as_csr"]
