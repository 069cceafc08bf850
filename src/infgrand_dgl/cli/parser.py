"""The parser, from the files of `commands/`."""

import argparse
from collections.abc import Mapping

from .. import __version__
from . import commands, options
from .command import Command, Group, find_commands


def build_parser() -> argparse.ArgumentParser:
    """Its arguments have `run_command`, the command's `run`."""
    parser = argparse.ArgumentParser(
        prog="infgrand-dgl",
        description="Distils graph neural networks into MLPs, guided by node influence (InfGraND).",
        epilog="`infgrand-dgl train --config demo` needs no download and ends within two minutes.",
    )
    parser.add_argument("--version", action="version", version=f"infgrand-dgl {__version__}")
    add_commands(parser, find_commands(commands.__name__, commands.__path__))
    return parser


def add_commands(
    parser: argparse.ArgumentParser,
    commands: Mapping[str, Command | Group],
    kind: str = "command",
) -> None:
    """One of `commands` must follow."""
    subparsers = parser.add_subparsers(required=True, metavar=kind)
    for name, command in commands.items():
        if isinstance(command, Group):
            group = subparsers.add_parser(name, help=command.help)
            add_commands(group, command.commands, command.kind)
            continue
        added = subparsers.add_parser(
            name,
            help=command.help,
            description=f"{command.help[0].upper()}{command.help[1:]}.",
            epilog=f"example:\n{command.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for add_options in (*command.shared, options.verbose, command.add_arguments):
            add_options(added)
        added.set_defaults(run_command=command.run)
