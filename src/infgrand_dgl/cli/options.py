"""Options that several commands share."""

import argparse
from collections.abc import Callable
from pathlib import Path


def integer(low: int, high: int, high_text: str = "") -> Callable[[str], int]:
    """An argument's type; `high_text` is how the message names the highest."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            expected = f"expected an integer from {low} to {high_text or high}"
            raise argparse.ArgumentTypeError(f"{expected}, found {text!r}")
        return int(text)

    return parse


SEED = integer(0, 2**32 - 1, "2^32 - 1")


def verbose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-v", "--verbose", action="store_true", help="say more about what happens")


def quiet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="print the results alone")


def config(parser: argparse.ArgumentParser, required: bool = True) -> None:
    parser.add_argument(
        "--config",
        required=required,
        metavar="FILE",
        help="experiment in YAML, or the name of a shipped one (demo)",
    )


def overrides(
    parser: argparse.ArgumentParser, help: str = "override a setting, e.g. teacher.lr=0.005"
) -> None:
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=help
    )


def experiment(parser: argparse.ArgumentParser) -> None:
    config(parser)
    overrides(parser)


def resumable_experiment(parser: argparse.ArgumentParser) -> None:
    config(parser, required=False)
    overrides(parser)


def student(parser: argparse.ArgumentParser, help: str = "a run directory") -> None:
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help=help)
    parser.add_argument("--seed", type=SEED, help="whose student (default: best on validation)")


def calibrated(parser: argparse.ArgumentParser) -> None:
    help = "probabilities at the temperature that fits the validation nodes"
    parser.add_argument("--calibrated", action="store_true", help=help)


def out(parser: argparse.ArgumentParser, help: str, metavar: str = "FILE") -> None:
    parser.add_argument("--out", type=Path, required=True, metavar=metavar, help=help)


def split_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=SEED, help="of the split, where it is drawn per seed")


def task(parser: argparse.ArgumentParser) -> None:
    tasks = ["auto", "classification", "multilabel", "regression"]
    help = "what labels are, as data.task (auto: what they look like)"
    parser.add_argument("--task", choices=tasks, default="auto", help=help)


def device(parser: argparse.ArgumentParser, help: str = "instead of train.device") -> None:
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], help=help)
