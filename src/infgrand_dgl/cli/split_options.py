"""How splits are drawn: of `data split` and `data import`."""

import argparse
from typing import TYPE_CHECKING

from ..errors import InputError
from . import options

if TYPE_CHECKING:
    from ..data.drawing import Draw

COUNT = options.integer(1, 2**31 - 1)


def share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, found {text!r}")
    return value


def split_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("splits")
    how = group.add_mutually_exclusive_group()
    how.add_argument("--train-per-class", type=COUNT, metavar="N", help="nodes of each class")
    how.add_argument(
        "--fractions",
        type=share,
        nargs=3,
        metavar=("TRAIN", "VAL", "TEST"),
        help="shares of the labelled nodes, as .5 .25 .25",
    )
    group.add_argument("--val", type=COUNT, metavar="N", help="with --train-per-class (500)")
    group.add_argument("--test", type=COUNT, metavar="N", help="with --train-per-class (1000)")
    group.add_argument("--seed", type=options.SEED, default=0, help="of the first split (0)")
    group.add_argument("--count", type=COUNT, default=1, metavar="K", help="how many splits (1)")


def draw_of(args: argparse.Namespace) -> "Draw | None":
    """What the options say; None: they say nothing."""
    from ..data.drawing import USUAL, Draw

    if args.train_per_class is None and (args.val or args.test):
        raise InputError("--val, --test: need --train-per-class")
    if args.fractions is None and args.train_per_class is None:
        if args.count > 1 or args.seed:
            raise InputError("--seed, --count: need --train-per-class or --fractions")
        return None
    if args.fractions and sum(args.fractions) > 1 + 1e-9:
        raise InputError(f"--fractions: expected a sum of at most 1, found {sum(args.fractions):g}")
    return Draw(
        train_per_class=args.train_per_class,
        val=args.val or USUAL[1],
        test=args.test or USUAL[2],
        fractions=tuple(args.fractions) if args.fractions else None,
        seed=args.seed,
        count=args.count,
    )
