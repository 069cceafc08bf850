"""Numbers and ids by row in files that may be larger than memory: .npy, text or Parquet.

What tables need is imported where there is one: pandas takes as long as a small prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..system.arrays import blocks, load_array, slices, together
from .text_tables import IDS, is_number, is_table

if TYPE_CHECKING:
    import pandas as pd

    from .tables import Table

NO_VALUE = ("na", "n/a", "#n/a", "<na>", "null", "none", "?", "-")  # words that name no column
ROWS = ("node", "index")  # of `IDS`, what `predict` and pandas call rows
Place = Callable[[int], str]  # where a row of a block stands, for messages


def stream_numbers(path: Path, width: int, expected: str, kinds: str = "f") -> Iterator[np.ndarray]:
    """All rows, float32 `[b, width]`, as many together as `system.arrays.together` says.

    Args:
        expected: what the file should have, for messages.
        kinds: of NumPy's types, that an array may have; a table may have any numbers.

    Raises:
        InputError: another shape or type, a column of ids, or what is no finite number within
            float32: names its row.
    """
    if is_table(path):
        yield from _table_numbers(path, width, expected)
        return
    array = load_array(path, mmap=True)
    if array.ndim != 2 or array.shape[1] != width or array.dtype.kind not in kinds:
        found = f"{array.dtype} {list(array.shape)}"
        raise InputError(f"{path}: expected {expected}, found {found}")
    for rows, values in blocks(array, together(width)):
        yield _finite(values, values, path, _from(rows.start))


def _from(first: int) -> Place:
    return lambda row: f"row {first + row}"


def _table_numbers(path: Path, width: int, expected: str) -> Iterator[np.ndarray]:
    from .tables import coerced, read_blocks, without_row_numbers

    truths: list[bool] | None = None
    for table in map(without_row_numbers, read_blocks(path, IDS)):
        frame = table.frame
        if any(str(name).strip().lower() in ("", *IDS) for name in frame.columns):
            raise InputError(f"{path}: expected no column of ids, found one")
        if frame.shape[1] != width:
            raise InputError(f"{path}: expected {expected}, found {frame.shape[1]} columns")
        if not table.first:
            _refuse_header_of_numbers(table, width)
        if frame.empty:
            continue
        kinds = [dtype.kind for dtype in frame.dtypes]
        if table.skipped is not None:  # text, whose columns have the type of each block's cells
            now = [kind == "b" for kind in kinds]
            truths = truths or now
            if now != truths:
                k = next(k for k in range(width) if now[k] != truths[k])
                found = f"{str(frame.iloc[0, k])!r} in {table.place(0)}"
                alike = f"expected numbers alone or truth values alone in column {k}"
                raise InputError(f"{path}: {alike}, found {found}")
        with np.errstate(over="ignore"):
            if all(kind in "biuf" for kind in kinds):
                x = frame.to_numpy(np.float32, na_value=np.nan)
            else:
                columns = (coerced(column) for _, column in frame.items())
                x = np.stack([column.astype(np.float32) for column in columns], axis=1)
        yield _finite(x, frame.iloc, path, table.place)


def _refuse_header_of_numbers(table: Table, width: int) -> None:
    """It may be a node, and then every id after it would be another's."""
    frame, found = table.frame, None
    if table.named and table.skipped is not None:
        words = [name for name in map(str, frame.columns) if not is_number(name)]
        if 0 < len(words) < width:
            found = f"{words[0]!r} among numbers in the first"
        elif words and all(word.strip().lower() in NO_VALUE for word in words):
            found = f"only {words[0]!r} in the first"
    # (Of two columns this is an ordinary row of zeros and ones.)
    elif not table.named and width > 2 and len(frame) and [*frame.iloc[0]] == [*range(width)]:
        found = f"0 to {width - 1}, a header of pandas without names"
    if found is not None:
        raise InputError(f"{table.path}: expected names above the rows, or none; found {found}")


def _finite(numbers: np.ndarray, cells: Any, path: Path, place: Place) -> np.ndarray:
    """float32 `[b, D]`, in memory.

    Args:
        cells: the same as the file has them, by row and column.
    """
    with np.errstate(over="ignore"):
        x = np.array(numbers, np.float32, order="C")
    wrong = ~np.isfinite(x)
    if wrong.any():
        row, column = map(int, np.argwhere(wrong)[0])
        found = f"{str(cells[row, column])!r} in {place(row)}, column {column}"
        raise InputError(f"{path}: expected finite numbers within float32, found {found}")
    return x


def stream_ids(
    path: Path, num_nodes: int, size: int, own: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """The rows of known nodes, int64 `[b]`, at most `size` together.

    Of .npy integers or text `[n]`; of a table its one column, or the one that is named as ids are.

    Args:
        own: ids of nodes, integers or text `[N]`, where they are not their rows. Text is these
            then, and so is a table's column unless it is called as in `ROWS`.

    Raises:
        InputError: they are no ids 0 to N - 1, none of `own`, or N zeros and ones: names the row.
    """
    count, largest = 0, 0
    for ids, place in _table_ids(path, own) if is_table(path) else _array_ids(path, own):
        wrong = (ids < 0) | (ids >= num_nodes)
        if wrong.any():
            row = int(wrong.argmax())
            expected = f"expected ids 0 to {num_nodes - 1}"
            raise InputError(f"{path}: {expected}, found {ids[row]} in {place(row)}")
        count, largest = count + len(ids), max(largest, int(ids.max(initial=0)))
        for part in slices(range(len(ids)), size):
            yield ids[part].astype(np.int64)
    refuse_mask(count, largest, num_nodes, str(path))


def _array_ids(path: Path, own: np.ndarray | None) -> Iterator[tuple[np.ndarray, Place]]:
    array = load_array(path, mmap=True)
    kinds = "iu" if own is None or own.dtype.kind != "U" else "iuU"
    if array.ndim != 1 or array.dtype.kind not in kinds:
        expected = "integers [n]" if kinds == "iu" else "integers or text [n]"
        found = f"{array.dtype} {list(array.shape)}"
        raise InputError(f"{path}: expected {expected}, found {found}")
    index = _index(own) if array.dtype.kind == "U" else None
    for rows, ids in blocks(array, together(1)):
        place = _from(rows.start)
        yield (ids if index is None else _rows(ids, index, path, place)), place


def _index(own: np.ndarray | None) -> pd.Index | None:
    import pandas as pd

    return None if own is None else pd.Index(own)


def _rows(ids: np.ndarray, index: pd.Index, path: Path, place: Place) -> np.ndarray:
    rows = index.get_indexer(ids)
    if (rows < 0).any():
        row = int((rows < 0).argmax())
        expected = "expected an id of the graph's nodes"
        raise InputError(f"{path}: {expected}, found {ids[row].item()!r} in {place(row)}")
    return rows


def _table_ids(path: Path, own: np.ndarray | None) -> Iterator[tuple[np.ndarray, Place]]:
    import pandas as pd

    from .tables import integers, read_blocks, texts, without_row_numbers

    index, text = _index(own), own is not None and own.dtype.kind == "U"
    for table in map(without_row_numbers, read_blocks(path, IDS)):
        names = [str(name).strip().lower() for name in table.frame.columns]
        # The first, as classes of what `predict` writes may be named so too; pandas' index last.
        named = sorted((name for name in names if name in IDS), key=lambda name: name == "index")
        if len(names) != 1 and not named:
            found = f"{len(names)} columns, none of them named {IDS[0]} or {IDS[1]}"
            raise InputError(f"{path}: expected node ids, found {found if names else 'no columns'}")
        if len(names) == 1 and not table.first:
            _refuse_header_of_numbers(table, 1)
        values = table.frame.iloc[:, names.index(named[0]) if named else 0]
        asked = index if not named or named[0] not in ROWS else None
        of_text = text and asked is not None
        ids = texts(values) if of_text else integers(values, table, "a node id")
        if ids is None:
            row = int(pd.to_numeric(values, errors="coerce").isna().to_numpy().argmax())
            found = f"{str(values.iloc[row])!r} in {table.place(row)}"
            raise InputError(f"{path}: expected node ids, found {found}")
        yield (ids if asked is None else _rows(ids, asked, path, table.place)), table.place


def refuse_mask(count: int, largest: int, num_nodes: int, where: str) -> None:
    """
    Args:
        count: how many ids there are.
        where: begins the message.

    Raises:
        InputError: as many ids as nodes, all of them 0 or 1.
    """
    if count == num_nodes > 2 and largest <= 1:
        found = f"found {count} zeros and ones, as in a mask"
        raise InputError(f"{where}: expected ids; {found}: np.flatnonzero makes ids of it")
