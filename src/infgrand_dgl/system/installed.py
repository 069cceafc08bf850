"""Packages that only some commands need."""

from collections.abc import Iterable
from importlib.util import find_spec

from ..errors import InputError


def require(packages: Iterable[str], what: str, extra: str) -> None:
    """
    Args:
        packages: names of modules.
        what: needs them: an option, or a command.
        extra: of this package, that brings them.

    Raises:
        InputError: one is not installed.
    """
    for package in packages:
        if find_spec(package) is None:
            raise InputError(
                f"{what}: {package} is not installed (pip install infgrand-dgl[{extra}])"
            )
