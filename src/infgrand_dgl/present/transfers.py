"""How far the reading of a large file, or a download, has come: on stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

LARGE_BYTES = 1 << 20  # what is read at once is not spoken of


@contextmanager
def transfer(what: str, total: int | None = None) -> Iterator[Callable[[int, int | None], None]]:
    """A line that says what is moved, and while the block runs on a terminal, a bar.

    Args:
        what: "Loading", "Downloading" and what; the line is left out of less than `LARGE_BYTES`.
        total: bytes; None: unknown.

    Yields:
        what is to be told how many bytes have been moved so far, and of how many.
    """
    if total is not None and total < LARGE_BYTES:
        yield lambda done, total: None
        return
    print(f"infgrand-dgl: {what}", file=sys.stderr, flush=True)
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task(what.partition(" ")[0], total=total)
        yield lambda done, total: progress.update(task, completed=done, total=total)
