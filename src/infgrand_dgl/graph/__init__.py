"""Graphs: the CSR that the ops take, and the one bridge to DGL."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .csr import CSRGraph as CSRGraph
    from .csr import as_csr as as_csr

# Imported on first use: `dgl_ready` needs no torch.
__all__ = ["CSRGraph", "as_csr"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(".csr", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
