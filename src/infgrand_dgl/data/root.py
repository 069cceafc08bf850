"""The folder that a dataset's files are in, or are downloaded to."""

import os
from pathlib import Path

from ..config.schema import DataConfig
from ..errors import InputError
from ..registry import sources


def root_of(config: DataConfig) -> Path:
    """`data.root`, or where downloads go; of a dataset that has no files, no folder in particular.

    Raises:
        InputError: the dataset is downloaded, and there is no home folder.
    """
    if config.root:
        return Path(config.root)
    return default_root() if sources[config.name].downloads else Path()


def default_root() -> Path:
    """Where downloads go: `$XDG_CACHE_HOME/infgrand-dgl`, by default under `~/.cache`.

    Raises:
        InputError: there is no home folder.
    """
    cache = os.environ.get("XDG_CACHE_HOME")
    if cache is None or not Path(cache).is_absolute():  # by its specification
        try:
            cache = str(Path.home() / ".cache")
        except RuntimeError:
            raise InputError(
                "data.root: downloads go below the home folder, and this user has none "
                "(HOME is not set); name a folder"
            ) from None
    return Path(cache) / "infgrand-dgl"
