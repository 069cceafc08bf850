"""A dataset from its source: downloaded files, a user's own, or a generated graph."""

import logging

from ..config.schema import DataConfig
from ..registry import sources
from ..system.reading import no_questions
from .dataset import NodeDataset, check
from .root import root_of

log = logging.getLogger(__name__)


def load_original(config: DataConfig) -> NodeDataset:
    """The dataset of `data.name` as its source loads it, checked."""
    with no_questions():
        loaded = sources[config.name].load(config, root_of(config))
    dataset = check(loaded, where=config.root or config.name)
    log.info("loaded %s: %s", dataset.name, dataset.provenance)
    return dataset
