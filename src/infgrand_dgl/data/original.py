"""A dataset from its source: downloaded files, a user's own, or a generated graph."""

import logging
from pathlib import Path

from ..config.schema import DataConfig
from ..errors import InputError
from ..registry import sources
from ..system.reading import no_questions
from .dataset import NodeDataset, check
from .importing import recognized
from .protocol import largest_component
from .root import root_of
from .scaling import standardized
from .structural import structural_features

log = logging.getLogger(__name__)


def load_original(config: DataConfig) -> NodeDataset:
    """The dataset of `data.name` as its source loads it, checked."""
    try:
        with no_questions():
            loaded = sources[config.name].load(config, root_of(config))
    except InputError as error:
        if hint := _other_format(config):
            raise InputError(f"{error}; {hint}") from None
        raise
    if config.weights and config.name != "directory" and loaded.csr.weights is None:
        raise InputError(f"data.weights: expected edge weights, found none in {config.name}")
    if config.name != "directory" and config.task not in ("auto", loaded.task):
        raise InputError(
            f"data.task: expected auto or {loaded.task}, which {config.name} is for; "
            f"found {config.task}"
        )
    if config.features == "structural":
        loaded = loaded.with_features_of(structural_features)
    dataset = check(loaded, where=config.root or config.name)
    if config.protocol == "glnn":
        dataset = largest_component(dataset)
    if config.standardize and config.setting == "transductive":  # else when some are hidden
        dataset = standardized(dataset, dataset)
    log.info("loaded %s: %s", dataset.name, dataset.provenance)
    return dataset


def _other_format(config: DataConfig) -> str:
    """The end of a message: a set that is not found may be there in a format that is read."""
    form = None
    if config.root is not None and config.name != "directory":
        form = recognized(Path(config.root))
    return f"data.name: directory reads {config.root} ({form.name})" if form else ""
