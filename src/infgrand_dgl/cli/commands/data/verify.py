"""`infgrand-dgl data verify`"""

import argparse
from pathlib import Path

from ... import options
from ...command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="what data prepare wrote")


def run(args: argparse.Namespace) -> None:
    from ....data.store import verify
    from ....present.console import Reporter

    verify(args.folder, Reporter(args.quiet))
    print(f"{args.folder}: ok")


command = Command(
    "whether the files of a prepared dataset are as they were written",
    "infgrand-dgl data verify prepared/papers",
    run,
    (options.quiet,),
    add_arguments,
    place=6,
)
