"""`infgrand-dgl data split`"""

import argparse
from pathlib import Path

from ....errors import InputError
from ... import options
from ...command import Command
from ...split_options import draw_of, split_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="edges, labels, features")
    parser.add_argument("--overwrite", action="store_true", help="replace its splits.json")
    options.task(parser)


def run(args: argparse.Namespace) -> None:
    draw = draw_of(args)
    if draw is None:
        raise InputError("data split: expected --train-per-class or --fractions, found neither")

    from ....data.importing import split_folder

    path = split_folder(args.folder, draw, args.overwrite, args.task)
    several = f", {draw.count} splits; data.split: 0, or seed, chooses" if draw.count > 1 else ""
    print(f"split: {path}{several}")


command = Command(
    "draw splits of a folder of your own",
    "infgrand-dgl data split graph --train-per-class 20 --val 500 --test 1000\n"
    "infgrand-dgl data split graph --fractions .5 .25 .25 --seed 1 --count 10",
    run,
    (split_options,),
    add_arguments,
    place=4,
)
