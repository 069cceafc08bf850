"""Edge weights as files have them: which numbers are weights, and whether they can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sp

from ..errors import InputError
from ..graph.convert import WEIGHTS, are_weights
from ..graph.weights import EXPECTED, first_unfit

Wanted: TypeAlias = bool | str | None
"""What a user says of weights: whether there are some, the name of what holds them, or nothing."""

TAKEN = "data.weights: true (data import --weights) takes them as edge weights"
WAYS = f"{TAKEN}, false (--drop-weights) leaves them out"


class Listed(NamedTuple):
    """
    Args:
        edges: integers `[E, 2]`.
        weights: numbers `[E]`; None: there are none.
        notes: lines for the user.
        directed: as of `imported.Imported`.
    """

    edges: np.ndarray
    weights: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    directed: bool | None = None


def chosen(names: Sequence[str], wanted: Wanted, where: str) -> int | None:
    """Which of a source's numbers of edges are the weights: what is named as in `convert.WEIGHTS`,
    or what a user wants to be them.

    Raises:
        InputError: they may be several, or the one that is wanted is none of them.
    """
    if wanted is False:
        return None
    lower = [name.strip().lower() for name in names]
    listed = ", ".join(names) or "none"
    if isinstance(wanted, str):
        if wanted in names:
            return names.index(wanted)
        if wanted.lower() not in lower:
            raise InputError(f"{where}: --weights {wanted}: expected one of {listed}")
        return lower.index(wanted.lower())
    taken = [i for i, name in enumerate(lower) if name in WEIGHTS]
    if wanted and not taken:
        taken = [*range(len(names))]
    if len(taken) > 1:
        several = " and ".join(names[i] for i in taken)
        raise InputError(
            f"{where}: expected one kind of edge weights, found {several}; name one of them "
            f"weight, or data import --weights {names[taken[0]]} takes one, --drop-weights none"
        )
    return taken[0] if taken else None


def refuse_unclear(values: np.ndarray | None, what: str) -> None:
    """Raises for numbers that may be weights (None: text), which nobody has named."""
    if values is not None and (not len(values) or (values == values[0]).all()):
        return
    found = "text"
    if values is not None:
        known = values[~np.isnan(values)]
        found = f"{known.min():g} to {known.max():g}" if len(known) else "nan"
    raise InputError(f"{what}, found {found}; {WAYS}")


def as_weights(
    values: np.ndarray, where: str, place: Callable[[int], str] = "row {}".format
) -> np.ndarray:
    """Weights `[E]`, checked; zero is no edge.

    Args:
        place: where a row stands, for messages.

    Raises:
        InputError: no numbers, or one that is negative, not finite or beyond float32.
    """
    if values.dtype.kind not in "biuf":
        raise InputError(f"{where}: expected numbers as edge weights, found {values.dtype}")
    if (row := first_unfit(values)) is not None:
        raise InputError(f"{where}: {EXPECTED}, found {values[row]:g} in {place(row)}")
    return values


def one_each(values: Any, num_edges: int, where: str) -> np.ndarray:
    """Weights `[E]` of an array `[E]`, `[E, 1]` or `[1, E]`, checked."""
    dense = values.toarray() if sp.issparse(values) else np.asarray(values)
    if dense.size != num_edges or dense.size not in dense.shape:
        expected = f"expected edge weights [{num_edges}], one for each edge"
        raise InputError(f"{where}: {expected}, found {list(dense.shape)}")
    return as_weights(dense.reshape(-1), where)


def of_columns(array: np.ndarray, wanted: Wanted, path: Path) -> Listed:
    """Edges of an array `[E, 2]`, or `[E, 3]`, whose third column is weights if a user says so."""
    shape = list(array.shape)
    if array.ndim != 2 or shape[1] not in (2, 3):
        raise InputError(f"{path}: expected shape [E, 2], found {shape}")
    third = array[:, 2] if shape[1] == 3 else None
    if third is None:
        ids = array
    elif wanted is None:
        unclear = f"{path}: expected shape [E, 2], found {shape}: the third column is unclear"
        raise InputError(f"{unclear}; {WAYS}")
    else:
        ids = whole_ids(array[:, :2], path)
    if ids.dtype.kind not in "iu":
        raise InputError(f"{path}: expected integer node ids, found {ids.dtype}")
    if third is None or wanted is False:
        return Listed(ids)
    return Listed(ids, as_weights(third, f"{path}: third column"))


def whole_ids(ids: np.ndarray, path: Path) -> np.ndarray:
    """Ids as integers, which may have been stored as floats."""
    if ids.dtype.kind != "f":
        return ids
    wrong = ~((ids == np.floor(ids)) & (np.abs(ids) < 2**53)).all(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        found = f"{ids[row, 0]}, {ids[row, 1]} in row {row}"
        raise InputError(f"{path}: expected integer node ids, found {found}")
    return ids.astype(np.int64)


def of_matrix(matrix: object, wanted: Wanted, where: str) -> Listed:
    """Edges of an adjacency `[N, N]`; a stored zero is no edge.

    Its values are weights where `are_weights` says so. Whole numbers from 1 count parallel edges,
    which are merged, unless a user wants them as weights.
    """
    coo = sp.coo_matrix(matrix)
    if coo.shape[0] != coo.shape[1]:
        raise InputError(f"{where}: expected an adjacency [N, N], found {list(coo.shape)}")
    if isinstance(wanted, str):
        raise InputError(f"{where}: --weights {wanted}: it has no names; expected --weights alone")
    stored = coo.data != 0
    edges, values = np.stack([coo.row, coo.col], axis=1)[stored].astype(np.int64), coo.data[stored]
    above = (edges[:, 0] < edges[:, 1])[edges[:, 0] != edges[:, 1]]
    # One triangle is half of a symmetric matrix.
    listed = Listed(edges, directed=bool(above.any() and not above.all()))
    if wanted is False or not len(values):
        return listed
    if values.dtype.kind not in "biuf":
        raise InputError(f"{where}: expected numbers as edge weights, found {values.dtype}")
    if wanted or are_weights(values.astype(np.float64)):
        of = "entry {0[0]}, {0[1]}".format
        return listed._replace(weights=as_weights(values, where, lambda i: of(edges[i])))
    if (values != values[0]).any():
        counts = f"{values.min():g} to {values.max():g} count parallel edges, which are merged"
        return listed._replace(notes=(f"{where}: {counts}; {TAKEN}",))
    return listed
