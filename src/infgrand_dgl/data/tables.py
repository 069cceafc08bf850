"""Tables as text or Parquet: comma, tab, semicolon or spaces, comments, a header or none."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pandas as pd

from ..errors import InputError
from ..system.reading import reading

TEXT = (".csv", ".tsv", ".txt", ".edges", ".edgelist", ".el", ".dat", ".tab")
COMMENTS = ("#", "%", "//")
SAMPLE = 200  # lines that are looked at for the form of a table
MISSING = ("", "nan", "NaN", "None", "<NA>")  # as pandas writes cells without a value
EXACT = 2**53  # the largest integers that float64 tells apart


class Table(NamedTuple):
    """
    Args:
        frame: columns `[R]`: numbers where all cells are, else text; or what Parquet stores.
        named: whether the first row named the columns; otherwise they are 0, 1, ...
        skipped: lines before row 0; None: it has no lines.
    """

    frame: pd.DataFrame
    named: bool
    path: Path
    skipped: int | None

    def place(self, row: int) -> str:
        """Where a row stands, for messages."""
        if self.skipped is None:
            return f"row {row}"
        left = row + 1
        with _open(self.path) as file:  # again, as lines without a row may stand between rows
            for number, line in enumerate(file, start=1):
                if number > self.skipped and line.strip() and not is_comment(line):
                    left -= 1
                if not left:
                    return f"row {row} (line {number})"
        return f"row {row}"


def is_table(path: Path) -> bool:
    """By its name."""
    stem = path.with_suffix("") if path.suffix == ".gz" else path
    return stem.suffix.lower() in (*TEXT, ".parquet")


def read_table(path: Path, named: Iterable[str] = (), header: bool | None = None) -> Table:
    """
    Args:
        named: words in lower case that name columns; a first row of them alone is a header even
            where the rows below are text as well.
        header: whether the first row is one; None: as it looks.

    Raises:
        InputError: unreadable, empty, or rows of unlike lengths.
    """
    if path.suffix == ".parquet":
        return Table(_parquet(path), True, path, None)
    with reading(path, f"a readable {path.suffix} file in UTF-8"):
        with _open(path) as file:
            skipped, lines = _sample(file)
        if not lines:
            raise InputError(f"{path}: not a readable {path.suffix} file: it has no rows")
        separator = _separator(lines)
        rows = [_cells(line, separator) for line in lines]
        if header is None:
            header = _is_header(rows, frozenset(named))
        width = len(rows[1] if header and len(rows) > 1 else rows[0])
        names = rows[0] if header else [str(i) for i in range(width)]
        unnamed = header and len(names) == width - 1  # R writes no name above row names
        frame = _read(path, separator, skipped + header, len(names) + unnamed)
        if unnamed:
            if [*frame[0].map(str)] != [str(i + 1) for i in range(len(frame))]:
                raise InputError(
                    f"{path}: expected {len(names)} fields a row, as in its header, found {width}"
                )
            frame = frame.drop(columns=0)
    frame.columns = pd.Index([name.strip() for name in names])
    return Table(frame, bool(header), path, skipped + header)


def first_row(path: Path) -> str:
    """The first line of text that is no comment; empty where there is none."""
    with reading(path, f"a readable {path.suffix} file in UTF-8"), _open(path) as file:
        return next(iter(_sample(file)[1]), "")


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig")


def _sample(file: IO[str]) -> tuple[int, list[str]]:
    """How many lines come before the first row, and some rows."""
    skipped = 0
    lines: list[str] = []
    for line in file:
        blank = not line.strip() or is_comment(line)
        if not lines and blank:
            skipped += 1
        elif not blank:
            lines.append(line.rstrip("\n"))
        if len(lines) == SAMPLE or skipped > 1_000_000:
            break
    return skipped, lines


def is_comment(line: str) -> bool:
    return line.lstrip().startswith(COMMENTS)


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


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read(path: Path, separator: str, skipped: int, width: int) -> pd.DataFrame:
    """Columns of numbers as such, others as text. Comments are left out, wherever they stand."""
    settings: dict[str, Any] = {
        "header": None,
        "names": range(width),
        "index_col": False,
        "skiprows": skipped,
        "low_memory": False,
        "na_filter": False,
        "skipinitialspace": True,
        "skip_blank_lines": True,
        "encoding": "utf-8-sig",
        "compression": "gzip" if path.suffix == ".gz" else None,
    }
    settings["sep"] = r"\s+" if separator == " " else separator
    try:
        frame = pd.read_csv(path, **settings)
    except pd.errors.ParserError:
        # A comment of more fields than a row, or a row of more than the others: the second fails.
        frame = pd.read_csv(path, comment="#", **settings)
    except pd.errors.EmptyDataError:
        return pd.DataFrame({i: pd.Series(dtype=str) for i in range(width)})
    for column in frame:
        if frame[column].dtype.kind == "O":
            frame[column] = frame[column].fillna("").astype(str)  # also fields that a row lacks
    if frame[0].dtype.kind != "O":
        return frame
    comment = frame[0].str.startswith(COMMENTS)
    return frame[~comment].reset_index(drop=True) if comment.any() else frame


def _parquet(path: Path) -> pd.DataFrame:
    with reading(path, "a readable .parquet file"):
        try:
            frame = pd.read_parquet(path)
        except ImportError:
            hint = "reading parquet needs pyarrow (pip install pyarrow)"
            raise InputError(f"{path}: {hint}") from None
    if frame.index.name is not None:
        frame = frame.reset_index()
    frame.columns = pd.Index([str(name) for name in frame.columns])
    return frame


def without_row_numbers(table: Table) -> Table:
    """The table without a first column of row numbers, which pandas writes under no name."""
    frame = table.frame
    if not (table.named and frame.shape[1] > 1 and frame.columns[0] in ("", "Unnamed: 0")):
        return table
    numbers = frame.iloc[:, 0].to_numpy()
    if [*map(str, numbers)] != [*map(str, range(len(frame)))]:
        return table
    return table._replace(frame=frame.iloc[:, 1:])


def integers(values: pd.Series, table: Table, what: str) -> np.ndarray | None:
    """int64 `[R]` of a column of whole numbers, also as 3.0; None: there is text in it.

    Raises:
        InputError: a cell is empty, no whole number, or beyond 64 bits; names its row.
    """
    array = values.to_numpy()
    if array.dtype.kind in "iu":
        if len(array) and array.max() > np.iinfo(np.int64).max:
            largest = int(array.argmax())
            raise _wrong(table, largest, what, array[largest])
        return array.astype(np.int64)
    if array.dtype.kind == "f":
        wrong = ~np.isfinite(array) | (array != np.floor(array)) | (np.abs(array) >= EXACT)
        if wrong.any():
            first = int(wrong.argmax())
            raise _wrong(table, first, what, "" if np.isnan(array[first]) else array[first])
        return array.astype(np.int64)
    text = np.array([str(value).strip() for value in array], dtype=object)
    try:
        return text.astype(np.int64)
    except (ValueError, OverflowError):
        pass
    empty = np.isin(text, MISSING)
    numbers = pd.to_numeric(pd.Series(text), errors="coerce").to_numpy(np.float64)
    if np.isnan(numbers[~empty]).any():
        return None
    wrong = empty | ~np.isfinite(numbers) | (numbers != np.floor(numbers))
    wrong |= np.abs(numbers) >= EXACT
    exact = np.array([_exact(each) for each in text[wrong & ~empty]], dtype=object)
    if empty.any() or any(each is None for each in exact):
        rows = np.flatnonzero(wrong)
        row = next(r for r in rows if empty[r] or _exact(text[r]) is None)
        raise _wrong(table, int(row), what, text[row])
    out = np.where(wrong, 0, numbers).astype(np.int64)
    out[wrong] = exact.astype(np.int64)
    return out


def _exact(text: str) -> int | None:
    """An integer of 64 bits."""
    try:
        value = int(text)
    except ValueError:
        return None
    return value if abs(value) < 2**63 else None


def _wrong(table: Table, row: int, what: str, found: object) -> InputError:
    expected = f"expected {what} as a whole number within 64 bits"
    return InputError(f"{table.path}: {expected}, found {str(found)!r} in {table.place(row)}")


def texts(values: pd.Series) -> np.ndarray:
    """Stripped text `[R]`, empty where a cell has no value; whole numbers without a fraction."""
    whole = integers_or_none(values)
    if whole is not None:
        return whole.astype(str)
    text = [str(value).strip() for value in values.to_numpy(dtype=object)]
    return np.array(["" if each in MISSING else each for each in text], dtype=str)


def integers_or_none(values: pd.Series) -> np.ndarray | None:
    """int64 `[R]` of whole numbers, also as 3.0; None: some cell is something else."""
    table = Table(values.to_frame(), True, Path(), None)
    try:
        return integers(values, table, "")
    except InputError:
        return None


def numbers(values: pd.Series) -> np.ndarray | None:
    """Float or integer `[R]`, NaN where a cell has no value; None: some cell is no number."""
    array = values.to_numpy()
    if array.dtype.kind in "biuf":
        return array
    cells = pd.Series([str(value).strip() for value in array], dtype=object)
    out = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64)
    return None if (np.isnan(out) & ~cells.isin(MISSING).to_numpy()).any() else out
