"""`infgrand-dgl report`"""

import argparse
from pathlib import Path

from .. import options
from ..command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="DIR", help="a run directory, or a study's folder"
    )
    options.out(parser, "report.html")


def run(args: argparse.Namespace) -> None:
    from ...present.console import Reporter
    from ...report.page import write

    write(args.paths, args.out, Reporter(args.quiet))
    print(f"wrote {args.out}")


command = Command(
    "runs and studies as one self-contained HTML page",
    "infgrand-dgl report runs/cora --out cora.html\n"
    "infgrand-dgl report runs/before runs/after --out both.html",
    run,
    (options.quiet,),
    add_arguments,
    place=8,
)
