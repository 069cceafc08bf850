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
    data, seed = config.data, config.train.seeds[0] if args.seed is None else args.seed
    dataset = load_source(data)
    hint = None if data.standardize else unlike_scales(dataset.matrix)
    news, splits = [hint], []
    if dataset.lacks is None and data.split is None and len(dataset.splits) > 1:
        for k in range(len(dataset.splits)):
            view = with_split(dataset, data.model_copy(update={"split": k}), seed)
            splits.append(view.parts)
            missing = untrained(view)
            news += [seen(view, data), missing and f"split {k}: {missing}"]
    elif dataset.lacks is None:
        dataset = with_split(dataset, data, seed)
        news += [seen(dataset, data), untrained(dataset)]
    print(describe(dataset))
    print(*summarize(dataset, splits).lines(), *filter(None, dict.fromkeys(news)), sep="\n")


command = Command(
    "counts, degrees, classes, homophily and splits of a dataset",
    "infgrand-dgl data describe --config demo",
    run,
    (options.experiment,),
    options.split_seed,
    place=2,
)
