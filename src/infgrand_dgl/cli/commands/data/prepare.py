"""`infgrand-dgl data prepare`"""

import argparse

from ... import options
from ...command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.out(parser, "the folder", metavar="DIR")
    parser.add_argument(
        "--dtype",
        choices=["float32", "float16", "bfloat16"],
        default="float32",
        help="of the features (default: float32)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the prepared dataset in --out"
    )


def run(args: argparse.Namespace) -> None:
    from ....config.reading import load_config

    config = load_config(args.config, args.set)

    from ....data.prepared import prepare
    from ....present.console import Reporter

    report = Reporter(args.quiet)
    prepare(config, args.out, dtype=args.dtype, overwrite=args.overwrite, report=report)
    print(f"prepared: {args.out}; use it with --set data.prepared={args.out}")


command = Command(
    "a dataset as a folder of arrays that opens instantly, for data.prepared",
    "infgrand-dgl data prepare --config papers100M-synthetic --dtype float16 \\\n"
    "    --set data.nodes=2000000 --out prepared/papers",
    run,
    (options.experiment, options.quiet),
    add_arguments,
    place=5,
)
