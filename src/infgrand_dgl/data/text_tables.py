"""How tables are written as text: comma, tab, semicolon or spaces, comments, a header or none."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

from ..errors import InputError

TEXT = (".csv", ".tsv", ".txt", ".edges", ".edgelist", ".el", ".dat", ".tab")
IDS = ("id", "node", "node_id", "nodeid", "node id", "new_id", "vertex", "index")
NO_VALUE = ("", "nan", "na", "n/a", "null", "none", "<na>")  # of a cell, in any case
COMMENTS = ("#", "%", "//")
SAMPLE, SAMPLED = 200, 1 << 20  # lines, and characters, that are looked at for a table's form


class Form(NamedTuple):
    """
    Args:
        names: of the columns; 0, 1, ... where there is no header.
        header: whether the first row names them.
        unnamed: whether rows begin with a name that has none above it, as R writes them.
        skipped: lines before the first row below the header.
    """

    separator: str
    names: list[str]
    header: bool
    unnamed: bool
    skipped: int

    @property
    def width(self) -> int:
        """Fields of a row."""
        return len(self.names) + self.unnamed

    @property
    def settings(self) -> dict[str, Any]:
        """Of `pandas.read_csv`."""
        return {
            "sep": r"\s+" if self.separator == " " else self.separator,
            "header": None,
            "names": range(self.width),
            "index_col": False,
            "low_memory": False,
            "na_filter": False,
            "skipinitialspace": True,
            "skip_blank_lines": True,
            "encoding": "utf-8-sig",
        }


def form_of(path: Path, named: Iterable[str]) -> Form:
    """As `tables.read_table` says.

    Raises:
        InputError: there is no row.
    """
    found = sample(path)
    if not found:
        raise InputError(f"{path}: not a readable {path.suffix} file: it has no rows")
    lines = [line for _, line in found]
    separator = _separator([line for line in lines if is_row(line, ",")] or lines)
    found = [each for each in found if is_row(each[1], separator)]
    skipped, rows = found[0][0], [_cells(line, separator) for _, line in found]
    header = _is_header(rows, frozenset(named))
    width = len(rows[1] if header and len(rows) > 1 else rows[0])
    names = rows[0] if header else [str(i) for i in range(width)]
    names = [name.strip() for name in names]
    return Form(separator, names, header, header and len(names) == width - 1, skipped + header)


class Rows:
    """The rows of an open table as a file that pandas reads.

    Raises:
        InputError: one with more or fewer fields than the others, as it is read.
    """

    def __init__(self, file: IO[str], form: Form, path: Path) -> None:
        self.rows = self._checked(file, form, path)

    def __iter__(self) -> Iterator[str]:
        return self.rows

    def read(self, size: int) -> str:
        lines = []
        while size > 0 and (line := next(self.rows, "")):
            lines.append(line)
            size -= len(line)
        return "".join(lines)

    @staticmethod
    def _checked(file: IO[str], form: Form, path: Path) -> Iterator[str]:
        mark, row = form.separator, 0
        for number, line in enumerate(islice(file, form.skipped, None), start=form.skipped + 1):
            if not is_row(line, mark):
                continue
            plain = mark != " " and '"' not in line
            fields = line.count(mark) + 1 if plain else len(_cells(line, mark))
            if fields != form.width:
                found = f"{fields} in row {row} (line {number})"
                raise InputError(f"{path}: expected {form.width} fields a row, found {found}")
            row += 1
            yield line


def is_table(path: Path) -> bool:
    """By its name."""
    stem = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return stem.suffix.lower() in (*TEXT, ".parquet")


def open_text(path: Path) -> IO[str]:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig")


def sample(path: Path) -> list[tuple[int, str]]:
    """Some lines that are rows where tabs separate, and how many lines come before each."""
    found: list[tuple[int, str]] = []
    size = 0
    with open_text(path) as file:
        for number, line in enumerate(file):
            if is_row(line, "\t"):
                found.append((number, line.rstrip("\n")))
                size += len(line)
            enough = len(found) == SAMPLE or (len(found) > 1 and size >= SAMPLED)
            if enough or (not found and number >= 1_000_000):
                break
    return found


def is_row(line: str, separator: str) -> bool:
    """Neither blank nor a comment, as pandas sees it: tabs that separate are empty cells."""
    line = line.strip(" \r\n" if separator == "\t" else " \t\r\n")
    return line != "" and not line.startswith(COMMENTS)


def _separator(lines: list[str]) -> str:
    for mark in ("\t", ";", ","):
        if all(mark in line for line in lines):
            return mark
    for mark in ("\t", ";", ","):  # a row may lack it, and is then told
        if sum(mark in line for line in lines) * 2 > len(lines):
            return mark
    return " " if any(len(line.split()) > 1 for line in lines) else ","


def _cells(line: str, separator: str) -> list[str]:
    if separator == " ":
        line = " ".join(line.split())
    (cells,) = csv.reader([line], delimiter=separator, skipinitialspace=True)
    return cells


def _is_header(rows: list[list[str]], named: frozenset[str]) -> bool:
    """Words above numbers, or words that name columns."""
    first, rest = rows[0], rows[1:]
    words = [cell.strip().lower() for cell in first]
    if all(is_number(word) for word in words if word):
        # Nothing above a column of row numbers, numbers above the others: pandas' own header.
        return (
            len(words) > 2
            and words[0] == ""
            and words[1:] == [str(i) for i in range(len(words) - 1)]
        )
    if any(word in named for word in words) and len(set(words)) == len(words):
        return True
    # Rows may begin with a name that has none above it, in R's tables.
    below = [row[-len(first) :] for row in rest if len(row) - len(first) in (0, 1)]
    return bool(below) and any(
        not is_number(word) and word and all(is_number(row[i]) or not row[i] for row in below)
        for i, word in enumerate(words)
    )


def is_missing(text: str) -> bool:
    """Whether a cell of a label or number is what people write where there is none; an id may be
    called so (Namibia's NA)."""
    return text.strip().lower() in NO_VALUE


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
