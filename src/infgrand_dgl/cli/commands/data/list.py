"""`infgrand-dgl data list`"""

import argparse

from ...command import Command


def run(args: argparse.Namespace) -> None:
    from ....config.schema import DATASETS
    from ....data import default_root

    about = {
        "synthetic": "generated: data.style citation, arxiv, products, papers100M or uniform",
        "directory": "your own: edges, features.npy, labels.npy, splits.json in data.root",
    }
    for name in DATASETS:
        source = "OGB node property prediction" if name.startswith("ogbn") else "built into DGL"
        print(f"{name:<18} {about.get(name, source)}")
    print(f"downloads go to {default_root()}, unless data.root says otherwise")


command = Command("names for data.name", "infgrand-dgl data list", run, place=1)
