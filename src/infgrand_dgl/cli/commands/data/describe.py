"""`infgrand-dgl data describe`"""

import argparse

from ... import options
from ...command import Command


def run(args: argparse.Namespace) -> None:
    from ....config.reading import load_config
    from ....data import load_source, with_split
    from ....data.dataset import describe
    from ....data.scaling import unlike_scales
    from ....data.summary import seen, summarize, untrained

    config = load_config(args.config, args.set)
    dataset = load_source(config.data)
    hint = None if config.data.standardize else unlike_scales(dataset.matrix)
    if dataset.lacks is None:
        seed = config.train.seeds[0] if args.seed is None else args.seed
        dataset = with_split(dataset, config.data, seed)
    print(describe(dataset))
    for line in summarize(dataset).lines():
        print(line)
    if hint is not None:
        print(hint)
    if dataset.lacks is None:
        print(*filter(None, [seen(dataset, config.data), untrained(dataset)]), sep="\n")


command = Command(
    "counts, degrees, classes, homophily and splits of a dataset",
    "infgrand-dgl data describe --config demo",
    run,
    (options.experiment,),
    options.split_seed,
    place=2,
)
