"""`infgrand-dgl data describe`"""

import argparse

from ... import options
from ...command import Command


def run(args: argparse.Namespace) -> None:
    from ....config.reading import load_config
    from ....data import load_dataset
    from ....data.dataset import describe
    from ....data.summary import summarize

    dataset = load_dataset(load_config(args.config, args.set), args.seed)
    print(describe(dataset))
    for line in summarize(dataset).lines():
        print(line)


command = Command(
    "counts, degrees, classes, homophily and splits of a dataset",
    "infgrand-dgl data describe --config demo",
    run,
    (options.experiment,),
    options.split_seed,
    place=2,
)
