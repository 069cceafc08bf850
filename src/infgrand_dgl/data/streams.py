"""Numbers and ids by row in files that may be larger than memory: .npy, text or Parquet.

What tables need is imported where there is one: pandas takes as long as a small prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..system.arrays import blocks, load_array, slices, together
from .text_tables import IDS, is_table

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
    import pandas as pd

    from .tables import read_blocks, without_row_numbers

    for table in map(without_row_numbers, read_blocks(path, IDS)):
        frame = table.frame
        if any(str(name).strip().lower() in ("", *IDS) for name in frame.columns):
            raise InputError(f"{path}: expected no column of ids, found one")
        if frame.shape[1] != width:
            raise InputError(f"{path}: expected {expected}, found {frame.shape[1]} columns")
        if frame.empty:
            continue
        if not (table.named or table.first) and [*frame.iloc[0]] == [*range(width)] != [0]:
            found = f"found 0 to {width - 1}, a header of pandas without names"  # and no node
            raise InputError(f"{path}: expected names above the rows, or none; {found}")
        numbers = frame
        if any(dtype.kind not in "biuf" for dtype in frame.dtypes):
            numbers = frame.apply(pd.to_numeric, errors="coerce")
        with np.errstate(over="ignore"):
            x = numbers.to_numpy(np.float32, na_value=np.nan)
        yield _finite(x, frame.iloc, path, table.place)


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


def stream_ids(path: Path, num_nodes: int, size: int) -> Iterator[np.ndarray]:
    """All ids of known nodes, int64 `[b]`, at most `size` together.

    Of .npy integers `[n]`; of a table its one column, or the one that is named as ids are.

    Raises:
        InputError: they are no ids 0 to N - 1, or N zeros and ones: names the row.
    """
    count, largest = 0, 0
    for ids, place in _table_ids(path) if is_table(path) else _array_ids(path):
        wrong = (ids < 0) | (ids >= num_nodes)
        if wrong.any():
            row = int(wrong.argmax())
            expected = f"expected ids 0 to {num_nodes - 1}"
            raise InputError(f"{path}: {expected}, found {ids[row]} in {place(row)}")
        count, largest = count + len(ids), max(largest, int(ids.max(initial=0)))
        for part in slices(range(len(ids)), size):
            yield ids[part].astype(np.int64)
    refuse_mask(count, largest, num_nodes, str(path))


def _array_ids(path: Path) -> Iterator[tuple[np.ndarray, Place]]:
    array = load_array(path, mmap=True)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        found = f"{array.dtype} {list(array.shape)}"
        raise InputError(f"{path}: expected integers [n], found {found}")
    for rows, ids in blocks(array, together(1)):
        yield ids, _from(rows.start)


def _table_ids(path: Path) -> Iterator[tuple[np.ndarray, Place]]:
    import pandas as pd

    from .tables import integers, read_blocks, without_row_numbers

    for table in map(without_row_numbers, read_blocks(path, IDS)):
        names = [str(name).strip().lower() for name in table.frame.columns]
        named = [name for name in IDS if name in names]
        if len(names) > 1 and not named:
            found = f"{len(names)} columns, none of them named {IDS[0]} or {IDS[1]}"
            raise InputError(f"{path}: expected node ids, found {found}")
        values = table.frame.iloc[:, names.index(named[0]) if named else 0]
        ids = integers(values, table, "a node id")
        if ids is None:
            row = int(pd.to_numeric(values, errors="coerce").isna().to_numpy().argmax())
            found = f"{str(values.iloc[row])!r} in {table.place(row)}"
            raise InputError(f"{path}: expected node ids, found {found}")
        yield ids, table.place


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
