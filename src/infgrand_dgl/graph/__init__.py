"""Graphs: the CSR that the ops take, what it is made of, and the one bridge to DGL."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .convert import GraphLike as GraphLike
    from .convert import as_csr as as_csr
    from .csr import CSRGraph as CSRGraph

# Imported on first use: `dgl_ready` needs no torch.
_HOMES = {"CSRGraph": "csr", "GraphLike": "convert", "as_csr": "convert"}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
