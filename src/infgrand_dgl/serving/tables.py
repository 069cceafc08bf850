"""What is written of a student's answers: an array, or a table with the ids of its nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config.fields import Task
from ..errors import InputError
from ..system.arrays import together
from ..system.installed import require
from ..system.writing import writing
from .student import has_labels, likeliest, ranked

NODE, ID = "node", "id"  # columns of rows, and of ids that are others

Write = Callable[[np.ndarray, Tensor], None]  # ids `[b]` and what is said of them, `[b, C]`


@dataclass(frozen=True, eq=False)
class Shown:
    """What is shown of answers, float32 `[n, C]` as `predict` gives them.

    Args:
        task: what they are.
        outputs: C.
        classes: codes or names by output, `[C]`; None: the outputs' numbers.
        probabilities: these, instead of classes or labels.
        top: K likeliest classes and their probabilities, in a table.
        ids: of known nodes, integers or text `[N]`, where they are not their rows.
    """

    task: Task
    outputs: int
    classes: np.ndarray | None = None
    probabilities: bool = False
    top: int | None = None
    ids: np.ndarray | None = None

    def array(self, answers: Tensor) -> np.ndarray:
        """Classes `[n]`: int64, or codes or names; int8 labels, or float32 numbers, `[n, C]`."""
        if self.probabilities or self.task == "regression":
            return answers.numpy()
        if self.task == "multilabel":
            return has_labels(answers)
        return likeliest(answers, self.classes)

    def columns(self, nodes: np.ndarray, answers: Tensor) -> dict[str, Any]:
        """By name, `[n]` each; the first has the rows of the nodes."""
        columns: dict[str, Any] = {NODE: nodes}
        if self.ids is not None:
            columns[ID] = _ids(self.ids, nodes)
        if self.top is not None:
            probabilities, order = ranked(answers, self.top)
            for k in range(self.top):
                classes = order[:, k].numpy()
                columns[f"class_{k + 1}"] = (
                    classes if self.classes is None else self.classes[classes]
                )
                columns[f"probability_{k + 1}"] = probabilities[:, k].numpy()
            return columns
        values = self.array(answers)
        if values.ndim == 1:
            return columns | {"class": values}
        return columns | dict(zip(self.names, values.T, strict=True))

    @property
    def names(self) -> list[str]:
        """Of a column for each output. One that is named as the ids are gets _ at its end."""
        names = [*map(str, range(self.outputs) if self.classes is None else self.classes)]
        for taken in (NODE,) if self.ids is None else (NODE, ID):
            other = taken
            while other in names:
                other += "_"
            names = [other if name == taken else name for name in names]
        return names


@contextmanager
def writing_answers(path: Path, shown: Shown) -> Iterator[Write]:
    """Takes answers as they come; the file is there when the block ends well, or not at all.

    An array in .npy, a table in .csv or .parquet; none is ever in memory as a whole.

    Raises:
        InputError: another ending, no pyarrow for Parquet, or `path` cannot be written.
    """
    check_shown(path, shown)
    with writing(path) as partial, ENDINGS[path.suffix.lower()](partial, shown) as write:
        yield write


def check_shown(path: Path, shown: Shown) -> None:
    """
    Raises:
        InputError: such a student does not say it, or a file of this name has no place for it.
    """
    if shown.task == "regression" and shown.probabilities:
        raise InputError("--probabilities: a regression has none; without it numbers are written")
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        *some, last = ENDINGS
        raise InputError(f"--out {path}: expected {', '.join(some)} or {last} at its end")
    if ENDINGS[ending] is _parquet:
        require(["pyarrow"], f"--out {path}", "parquet")
    if ENDINGS[ending] is _csv and shown.classes is not None:
        broken = [name for name in map(str, shown.classes) if "\n" in name or "\r" in name]
        if broken:  # a reader of lines takes what follows for another row
            found = f"found {broken[0]!r}; .parquet can have it"
            raise InputError(f"--out {path}: expected names of classes in one line, {found}")
    if shown.top is None:
        return
    if ENDINGS[ending] is _npy:
        raise InputError(f"--top: needs a table, --out in .csv or .parquet; found {path}")
    if shown.task != "classification":
        raise InputError(f"--top: expected a student of classes, found one of {shown.task}")
    if shown.top > shown.outputs:
        raise InputError(f"--top: expected 1 to {shown.outputs}, the classes, found {shown.top}")


@contextmanager
def _npy(path: Path, shown: Shown) -> Iterator[Write]:
    none = shown.array(torch.empty(0, shown.outputs))
    header = {"descr": np.lib.format.dtype_to_descr(none.dtype), "fortran_order": False}
    count = 0
    with path.open("wb") as file:

        def write_header() -> None:  # which has room for any count
            shape = (count, *none.shape[1:])
            np.lib.format.write_array_header_1_0(file, header | {"shape": shape})

        def write(nodes: np.ndarray, answers: Tensor) -> None:
            nonlocal count
            count += len(nodes)
            file.write(shown.array(answers).tobytes())

        write_header()
        yield write
        file.seek(0)
        write_header()


@contextmanager
def _csv(path: Path, shown: Shown) -> Iterator[Write]:
    import pandas as pd

    with path.open("w", encoding="utf-8", newline="") as file:

        def write(nodes: np.ndarray, answers: Tensor, header: bool = False) -> None:
            frame = pd.DataFrame(shown.columns(nodes, answers))
            frame.to_csv(file, index=False, header=header)

        write(*_nobody(shown), header=True)
        yield write


@contextmanager
def _parquet(path: Path, shown: Shown) -> Iterator[Write]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    schema = pa.table(shown.columns(*_nobody(shown))).schema
    held: list[tuple[np.ndarray, Tensor]] = []
    count = 0
    with ParquetWriter(path, schema) as writer:

        def write_held() -> None:
            nonlocal count
            nodes, answers = zip(*held, strict=True)
            columns = shown.columns(np.concatenate(nodes), torch.cat(answers))
            writer.write_table(pa.table(columns))
            held.clear()
            count = 0

        def write(nodes: np.ndarray, answers: Tensor) -> None:
            nonlocal count
            held.append((nodes, answers))
            count += len(nodes)
            if count >= together(shown.outputs):  # each time makes a group of rows
                write_held()

        yield write
        if held:
            write_held()


def _ids(ids: np.ndarray, nodes: np.ndarray) -> Any:
    """`[n]`; of nodes that came later, which have none, nothing."""
    import pandas as pd

    known = nodes < len(ids)
    found = ids[np.where(known, nodes, 0)]
    if ids.dtype.kind == "U":
        return np.where(known, found, "")
    return pd.arrays.IntegerArray(found.astype(np.int64), ~known)


def _nobody(shown: Shown) -> tuple[np.ndarray, Tensor]:
    return np.empty(0, np.int64), torch.empty(0, shown.outputs)


ENDINGS: dict[str, Callable[[Path, Shown], AbstractContextManager[Write]]] = {
    ".npy": _npy,
    ".csv": _csv,
    ".parquet": _parquet,
}
