"""`infgrand-dgl data import`"""

# ruff: noqa: N999 - the file is named as the command

import argparse
import sys
from pathlib import Path

from ... import options
from ...command import Command
from ...split_options import draw_of, split_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help="a file or folder in a known format"
    )
    options.out(parser, "the folder", metavar="DIR")
    parser.add_argument("--nodes", type=Path, metavar="FILE", help="node table of an edge list")
    parser.add_argument("--features", type=Path, metavar="FILE", help=".npy, .npz, .csv, .parquet")
    parser.add_argument("--id", metavar="COLUMN", help="of node ids in the node table")
    parser.add_argument(
        "--label",
        metavar="COLUMN",
        action="append",
        help="of labels in the node table; of several a node or numbers: a,b,c, or again",
    )
    options.task(parser)
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument(
        "--weights",
        nargs="?",
        const=True,
        metavar="COLUMN",
        help="of the edges: that there are some, or the column or attribute that holds them",
    )
    weights.add_argument(
        "--drop-weights",
        dest="weights",
        action="store_const",
        const=False,
        help="take the edges alone",
    )
    parser.add_argument(
        "--trust", action="store_true", help="open pickles, which run the code that they hold"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the graph in --out")


def run(args: argparse.Namespace) -> None:
    from ....data.dataset import describe
    from ....data.imported import Options
    from ....data.importing import import_graph
    from ....errors import one_line

    given = {key: getattr(args, key) for key in Options.__dataclass_fields__}
    given["label"] = args.label and tuple(args.label)

    def tell(line: str) -> None:
        if not args.quiet:
            print(one_line(line), file=sys.stderr)

    dataset = import_graph(
        args.source, args.out, Options(**given), draw_of(args), args.overwrite, tell
    )
    print(describe(dataset))
    next_command = "train" if dataset.labelled.any() else "propagate"
    print(f"imported: {args.out}; infgrand-dgl {next_command} --config {args.out}/experiment.yaml")


command = Command(
    "a graph in another format as a folder for data.name: directory",
    "infgrand-dgl data import cora_ml.npz --out cora_ml\n"
    "infgrand-dgl data import links.txt --nodes people.csv --features x.npz --out people\n"
    "infgrand-dgl data import ppi.csv --nodes genes.csv --label growth,repair,transport --out ppi\n"
    "infgrand-dgl train --config people/experiment.yaml --out runs/people",
    run,
    (options.quiet, split_options),
    add_arguments,
    place=3,
)
