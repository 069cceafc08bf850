"""What a command is. Each is one file of `commands/`, or of a folder there for a group of them."""

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules

Options = Callable[[argparse.ArgumentParser], object]


@dataclass(frozen=True)
class Command:
    """
    Args:
        help: one line, in lower case, without a full stop.
        example: shell lines, for `--help`.
        run: (arguments) to the exit status; None: 0. Heavy imports wait until here.
        shared: options of `cli.options`, in the order of `--help`.
        add_arguments: adds the command's own.
        place: in the list of commands, ascending; by name among equals.
    """

    help: str
    example: str
    run: Callable[[argparse.Namespace], int | None]
    shared: tuple[Options, ...] = ()
    add_arguments: Options = lambda parser: None
    place: int = 100


@dataclass(frozen=True)
class Group:
    """Commands under one name, as `data list` and `data describe`.

    Args:
        kind: what the usage calls one of them.
    """

    help: str
    commands: Mapping[str, "Command | Group"]
    kind: str = "command"
    place: int = 100


def find_commands(package: str, folder: Iterable[str]) -> dict[str, Command | Group]:
    """The `command` of each file, or of each folder's `__init__.py`, by its name.

    Args:
        package, folder: a package's `__name__` and `__path__`; "_" in a file's name is "-".
    """
    commands = {
        file.name.replace("_", "-"): import_module(f"{package}.{file.name}").command
        for file in iter_modules(folder)
    }
    return dict(sorted(commands.items(), key=lambda item: (item[1].place, item[0])))
