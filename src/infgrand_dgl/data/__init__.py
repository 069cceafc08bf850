"""Datasets: DGL's built-in sets, OGB, generated graphs, and a user's own files."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for the types alone: the names are these modules'
    from .dataset import NodeDataset as NodeDataset
    from .dataset import Split as Split
    from .loading import load_dataset as load_dataset
    from .loading import load_source as load_source
    from .root import default_root as default_root
    from .splits import by_influence as by_influence
    from .splits import with_split as with_split

# Imported on first use: configurations look up `sources`, and need neither torch nor DGL.
_HOMES = {
    "NodeDataset": "dataset",
    "Split": "dataset",
    "by_influence": "splits",
    "default_root": "root",
    "load_dataset": "loading",
    "load_source": "loading",
    "with_split": "splits",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
