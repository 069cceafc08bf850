"""How a command that writes one array begins."""

import argparse
from typing import NamedTuple

from ..config.reading import load_config
from ..config.schema import Config
from ..data import NodeDataset, load_source, with_split
from ..data.dataset import describe
from ..data.splits import with_observed
from ..data.summary import seen
from ..present.console import Reporter
from ..present.notes import release_notes
from ..registry import measures
from ..system.runtime import Runtime, resolve_device
from ..system.writing import check_writable


class Loaded(NamedTuple):
    config: Config
    dataset: NodeDataset
    runtime: Runtime
    report: Reporter


def load(args: argparse.Namespace, *, scores: bool = False) -> Loaded:
    """The experiment with its dataset; what can be wrong with `--out` is found before that.

    It needs neither labels nor a split: nothing is trained.

    Args:
        scores: of influence are asked for, whose measure may need them all the same.
    """
    config = load_config(args.config, args.set)
    split = scores and measures[config.influence.measure].needs_labels
    device = resolve_device(args.device or config.train.device)
    check_writable(args.out)
    report = Reporter(args.quiet)
    seed = config.train.seeds[0] if args.seed is None else args.seed
    dataset = (with_split if split else with_observed)(load_source(config.data), config.data, seed)
    release_notes()
    report.line(describe(dataset))
    if config.data.setting == "inductive":
        nobody = "no split, so that no node is hidden: each sees the whole graph"
        report.line(nobody if dataset.parts.observed is None else seen(dataset, config.data))
    return Loaded(config, dataset, Runtime.on(device, config.resources), report)
