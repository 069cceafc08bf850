"""The dataset of an experiment, with its split."""

from pathlib import Path

from ..config.reading import load_config
from ..config.schema import Config, DataConfig
from . import prepared
from .dataset import NodeDataset
from .original import load_original
from .splits import with_split


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
        return prepared.load(config, Path(config.prepared))
    return load_original(config)
