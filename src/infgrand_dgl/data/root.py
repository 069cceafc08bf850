"""The folder that a dataset's files are in, or are downloaded to."""

import os
from pathlib import Path

from ..config.schema import DataConfig


def root_of(config: DataConfig) -> Path:
    return Path(config.root) if config.root else default_root()


def default_root() -> Path:
    """Where downloads go: `$XDG_CACHE_HOME/infgrand-dgl`, by default under `~/.cache`."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "infgrand-dgl"
