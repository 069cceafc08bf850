"""`infgrand-dgl data list`"""

import argparse

from ...command import Command


def run(args: argparse.Namespace) -> None:
    from ....data import default_root
    from ....registry import sources

    for source in sources.in_order():
        print(f"{source.name:<18} {source.about}")
    print(f"downloads go to {default_root()}, unless data.root says otherwise")


command = Command("names for data.name", "infgrand-dgl data list", run, place=1)
