"""Tables as text or Parquet, at once or in parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..errors import InputError
from ..system.arrays import together
from ..system.installed import require
from ..system.reading import reading
from .text_tables import COMMENTS, Form, Rows, form_of, is_missing, is_row, open_text, sample

MISSING = ("", "nan", "NaN", "None", "<NA>")  # as pandas writes cells without a value
EXACT = 2**53  # the largest integers that float64 tells apart
PAGE = 1 << 16  # bytes of a column of Parquet that are read together


class Table(NamedTuple):
    """
    Args:
        frame: columns `[R]`: numbers where all cells are, else text; or what Parquet stores.
        named: whether the first row named the columns; otherwise they are 0, 1, ...
        skipped: lines before row 0; None: it has no lines.
        first: the number of the first row, where others were read before.
        separator: of the cells of a line.
    """

    frame: pd.DataFrame
    named: bool
    path: Path
    skipped: int | None
    first: int = 0
    separator: str = ","

    def place(self, row: int) -> str:
        """Where a row stands, for messages."""
        row += self.first
        if self.skipped is None:
            return f"row {row}"
        left = row + 1
        with open_text(self.path) as file:  # again, as lines without a row may stand between rows
            for number, line in enumerate(file, start=1):
                if number > self.skipped and is_row(line, self.separator):
                    left -= 1
                if not left:
                    return f"row {row} (line {number})"
        return f"row {row}"


def read_table(path: Path, named: Iterable[str] = ()) -> Table:
    """
    Args:
        named: words in lower case that name columns; a first row of them alone is a header even
            where the rows below are text as well.

    Raises:
        InputError: unreadable, empty, or rows of unlike lengths.
    """
    if path.suffix.lower() == ".parquet":
        return Table(_parquet(path), True, path, None)
    with reading(path, f"a readable {path.suffix} file in UTF-8"):
        form = form_of(path, named)
        return _table(_read(path, form), form, path)


def read_blocks(path: Path, named: Iterable[str] = ()) -> Iterator[Table]:
    """The same table in parts, one after the other, of which few are in memory; the first has its
    columns alone.

    Args:
        named: as of `read_table`.

    Raises:
        InputError: as of `read_table`, also half way.
    """
    if path.suffix.lower() == ".parquet":
        yield from _parquet_blocks(path)
        return
    with reading(path, f"a readable {path.suffix} file in UTF-8"), open_text(path) as file:
        form = form_of(path, named)
        table = _table(_no_rows(form), form, path)
        yield table
        rows: Any = Rows(file, form, path)
        with suppress(pd.errors.EmptyDataError):
            for frame in pd.read_csv(rows, chunksize=together(form.width), **form.settings):
                table = _table(frame, form, path, table.first + len(table.frame))
                yield table


def _table(frame: pd.DataFrame, form: Form, path: Path, first: int = 0) -> Table:
    """Of columns 0, 1, ..."""
    if form.unnamed:
        if [*frame[0].map(str)] != [str(first + i + 1) for i in range(len(frame))]:
            expected = f"expected {len(form.names)} fields a row, as in its header"
            raise InputError(f"{path}: {expected}, found {form.width}")
        frame = frame.drop(columns=0)
    frame.columns = pd.Index(form.names)
    return Table(frame, form.header, path, form.skipped, first, form.separator)


def first_row(path: Path) -> str:
    """The first line of text that is no comment; empty where there is none."""
    with reading(path, f"a readable {path.suffix} file in UTF-8"):
        return next((line for _, line in sample(path) if is_row(line, ",")), "")


def count_rows(path: Path, separator: str) -> int:
    """The lines of text that are neither blank nor comments."""
    with open_text(path) as file:
        return sum(is_row(line, separator) for line in file)


def _read(path: Path, form: Form) -> pd.DataFrame:
    """Columns of numbers as such, others as text. Comments are left out, wherever they stand."""
    compression = "gzip" if path.suffix.lower() == ".gz" else None
    settings = form.settings | {"skiprows": form.skipped, "compression": compression}
    try:
        frame = pd.read_csv(path, **settings)
    except pd.errors.ParserError:
        # A comment of more fields than a row, or a row of more than the others: the second fails.
        frame = pd.read_csv(path, comment="#", **settings)
    except pd.errors.EmptyDataError:
        return _no_rows(form)
    for column in frame:
        if frame[column].dtype.kind == "O":
            frame[column] = frame[column].fillna("").astype(str)  # also fields that a row lacks
    if frame[0].dtype.kind != "O":
        return frame
    comment = frame[0].str.startswith(COMMENTS)
    return frame[~comment].reset_index(drop=True) if comment.any() else frame


def _no_rows(form: Form) -> pd.DataFrame:
    return pd.DataFrame(columns=range(form.width), dtype=object)


def _parquet(path: Path) -> pd.DataFrame:
    require(["pyarrow"], str(path), "parquet")
    with reading(path, "a readable .parquet file"):
        return _named_index(pd.read_parquet(path))


def _parquet_blocks(path: Path) -> Iterator[Table]:
    require(["pyarrow"], str(path), "parquet")
    from pyarrow.parquet import ParquetFile

    with (
        reading(path, "a readable .parquet file"),
        # Else all of a row group is in memory, however large its writer made it.
        ParquetFile(path, buffer_size=PAGE, pre_buffer=False) as file,
    ):
        schema, first = file.schema_arrow, 0
        batches = file.iter_batches(together(len(schema.names)))
        kept = (schema.pandas_metadata or {}).get("index_columns", ())
        counted = next((index for index in kept if isinstance(index, dict)), None)
        for batch in chain([schema.empty_table()], batches):
            frame = batch.to_pandas()
            if counted is not None:  # over all rows, not those of a batch
                ids = counted["start"] + counted["step"] * np.arange(first, first + len(frame))
                frame.index = pd.Index(ids, name=counted["name"])
            yield Table(_named_index(frame), True, path, None, first)
            first += len(frame)


def _named_index(frame: pd.DataFrame) -> pd.DataFrame:
    """An index that has a name is a column."""
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
    if [*map(str, numbers)] != [*map(str, range(table.first, table.first + len(frame)))]:
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
    numbers = pd.to_numeric(pd.Series(text), errors="coerce").to_numpy(np.float64)
    empty = np.isnan(numbers)
    if not all(is_missing(each) for each in text[empty]):
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
    out = coerced(values)
    if values.dtype.kind in "biuf":
        return out
    without = values[np.isnan(out)].to_numpy(dtype=object)
    return out if all(is_missing(str(value)) for value in without) else None


def coerced(values: pd.Series) -> np.ndarray:
    """Float or integer `[R]`, NaN where a cell is no number: pandas takes dates and bytes for one,
    what they are written as is none."""
    array = values.to_numpy()
    if array.dtype.kind in "biuf":
        return array
    cells = pd.Series([str(value).strip() for value in array], dtype=object)
    return pd.to_numeric(cells, errors="coerce").to_numpy(np.float64)
