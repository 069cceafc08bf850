"""How a command that writes one array begins."""

import argparse
from typing import NamedTuple

from ..config.reading import load_config
from ..config.schema import Config
from ..data import NodeDataset, load_dataset
from ..data.dataset import describe
from ..present.console import Reporter
from ..system.runtime import Runtime, resolve_device
from ..system.writing import check_writable


class Loaded(NamedTuple):
    config: Config
    dataset: NodeDataset
    runtime: Runtime
    report: Reporter


def load(args: argparse.Namespace) -> Loaded:
    """The experiment with its dataset; what can be wrong with `--out` is found before that."""
    config = load_config(args.config, args.set)
    device = resolve_device(args.device or config.train.device)
    check_writable(args.out)
    report = Reporter(args.quiet)
    dataset = load_dataset(config, args.seed)
    report.line(describe(dataset))
    return Loaded(config, dataset, Runtime.on(device, config.resources), report)
