"""What a person sees: progress on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from ..system.memory import resident


class Reporter:
    """Lines, one progress bar per stage, tables. `quiet` leaves the lines and bars out."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = Console(highlight=False, soft_wrap=True)

    def line(self, text: str) -> None:
        if not self.quiet:
            self.console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """To stderr, quiet or not."""
        print(f"infgrand-dgl: warning: {text}", file=sys.stderr)

    @contextmanager
    def bar(self, name: str, total: int | None = None) -> Iterator["Bar"]:
        """A bar while the block runs on a terminal; one line when it has ended."""
        bar = Bar()
        if self.quiet or not self.console.is_terminal:
            yield bar
        else:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                _Rate(),
                TimeRemainingColumn(),
                _Memory(),
                TextColumn("{task.fields[note]}"),
            )
            with Progress(*columns, console=self.console, transient=True) as progress:
                task = progress.add_task(name, total=total, note="")

                def show(done: int, total: int | None, note: str) -> None:
                    progress.update(task, completed=done, total=total, note=note)

                bar.show = show
                yield bar
        self.line(f"{name:<28} {bar.result}")

    @contextmanager
    def timed(self, name: str, total: int | None = None) -> Iterator["Bar"]:
        """A stage whose closing line says the seconds that it took."""
        with self.bar(name, total) as bar:
            start = time.perf_counter()
            yield bar
            bar.result = f"{time.perf_counter() - start:.1f} s"

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        if self.console.is_terminal and not self.quiet:
            table = Table()
            for k, title in enumerate(header):
                table.add_column(title, justify="right" if k else "left")
            for row in rows:
                table.add_row(*row)
            self.console.print(table)
            return
        widths = [max(len(row[k]) for row in (header, *rows)) for k in range(len(header))]
        for row in (header, *rows):
            cells = [
                c.rjust(w) if k else c.ljust(w)
                for k, (c, w) in enumerate(zip(row, widths, strict=True))
            ]
            print("  ".join(cells).rstrip())


class Silent(Reporter):
    """Not even warnings: for trainings whose outcome another program reads."""

    def __init__(self) -> None:
        super().__init__(quiet=True)

    def warn(self, text: str) -> None:
        pass


class Bar:
    """`update` moves the bar, `result` is what the closing line says."""

    def __init__(self) -> None:
        self.result = ""
        self.show: Callable[[int, int | None, str], None] = lambda done, total, note: None

    def update(self, done: int, total: int | None = None, note: str = "") -> None:
        """`done` of `total` steps; None: as many as were known before."""
        self.show(done, total, note)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.speed or 0.0
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each" if speed else "")


class _Memory(ProgressColumn):
    """What the process holds on the host, and on the GPU where torch does."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        held = [resident(), torch.cuda.memory_allocated() if torch.cuda.is_available() else 0]
        return Text(" + ".join(f"{bytes_ / 1e9:.1f} GB" for bytes_ in held if bytes_))
