"""`infgrand-dgl data list`"""

import argparse

from ....errors import InputError
from ...command import Command


def run(args: argparse.Namespace) -> None:
    from ....data import default_root
    from ....registry import sources

    for source in sources.in_order():
        print(f"{source.name:<18} {source.about}")
    try:
        print(f"downloads go to {default_root()}, unless data.root says otherwise")
    except InputError:
        print("there is no home folder: downloads need data.root")


command = Command("names for data.name", "infgrand-dgl data list", run, place=1)
