"""`infgrand-dgl info`"""

import argparse

from ..command import Command


def run(args: argparse.Namespace) -> None:
    from ...experiment.environment import environment

    for key, value in environment().items():
        if isinstance(value, dict):
            value = ", ".join(f"{k}: {v}" for k, v in value.items())
        elif isinstance(value, list):
            value = ", ".join(value) or "none"
        print(f"{key:<14} {value}")


command = Command(
    "versions, devices, and what of the extension is loaded", "infgrand-dgl info", run, place=12
)
