"""Datasets: DGL's built-in sets, OGB, generated graphs, and a user's own files."""

import logging
import os
from pathlib import Path

from ..config.reading import load_config
from ..config.schema import Config, DataConfig
from .dataset import NodeDataset, Split, check
from .splits import by_influence, with_split

log = logging.getLogger(__name__)

__all__ = [
    "NodeDataset",
    "Split",
    "by_influence",
    "default_root",
    "load_dataset",
    "load_source",
    "with_split",
]


def load_dataset(config: Config | str | Path, seed: int | None = None) -> NodeDataset:
    """A dataset with its split for one seed.

    Args:
        config: an experiment, or the file that holds it.
        seed: for splits that are drawn per run; by default the experiment's first.

    Raises:
        InputError: a bad setting, missing or unreadable files, or data that make no sense.
    """
    if not isinstance(config, Config):
        config = load_config(config)
    chosen = config.train.seeds[0] if seed is None else seed
    return with_split(load_source(config.data), config.data, chosen)


def load_source(config: DataConfig) -> NodeDataset:
    """A dataset before its split is drawn for a seed; from `data.prepared` where that is given."""
    if config.prepared is not None:
        from . import prepared

        return prepared.load(config, Path(config.prepared))
    root = Path(config.root) if config.root else default_root()
    if config.name == "synthetic":
        from . import synthetic as source
    elif config.name == "directory":
        from . import directory as source  # type: ignore[no-redef]
    elif config.name.startswith("ogbn-"):
        from . import ogb as source  # type: ignore[no-redef]
    else:
        from . import builtin as source  # type: ignore[no-redef]
    dataset = check(source.load(config, root), where=config.root or config.name)
    log.info("loaded %s: %s", dataset.name, dataset.provenance)
    return dataset


def default_root() -> Path:
    """Where downloads go: `$XDG_CACHE_HOME/infgrand-dgl`, by default under `~/.cache`."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "infgrand-dgl"
