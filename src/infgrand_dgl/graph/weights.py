"""Weights of edges: what is one, and one for both directions of an edge."""

import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError

log = logging.getLogger(__name__)

WEIGHTS = ("w", "weight", "weights", "edge_weight")  # as people call them
WEIGHT = "weight"  # as DGL and NetworkX do
EXPECTED = "expected edge weights of 0 (no edge) or above, finite and within float32"
SAME = 1e-5  # relative: two directions whose weights differ by rounding alone
ROWS = 1 << 18  # whose weights are summed at a time, in float64


def as_array(values: Any) -> np.ndarray:
    """Numbers in whatever holds them, as NumPy does; objects, where they are none.

    Those of a tensor of 16 bits become float32: SciPy knows neither kind, NumPy one of them.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype in (torch.half, torch.bfloat16) else values).numpy()
    try:
        return np.array(values)
    except ValueError:  # lists of several lengths
        return np.array([None] * len(values))


def checked(values: np.ndarray, count: int) -> np.ndarray:
    """Numbers of `count` edges, `[E]` or `[E, 1]`, as weights: float32 `[E]`, 0 or more.

    Raises:
        InputError: not one number an edge, or one that is negative, NaN, infinite, or out of the
            range of float32.
    """
    if values.dtype.kind not in "biuf":
        raise InputError(f"graph: expected numbers as edge weights, found {values.dtype}")
    if values.shape not in ((count,), (count, 1)):
        raise InputError(
            f"graph: expected one weight for each of the {count} edges, found {list(values.shape)}"
        )
    values = values.reshape(count)
    if (edge := first_unfit(values)) is not None:
        raise InputError(f"graph: {EXPECTED}, found {values[edge]:g}")
    return values.astype(np.float32)


def first_unfit(values: np.ndarray) -> int | None:
    """The first of numbers `[E]` that is no weight: negative, NaN, infinite, or out of float32's
    range; None: all are."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        single = values.astype(np.float32)
    fit = (single >= 0) & np.isfinite(single) & ((single > 0) == (values > 0))
    return None if fit.all() else int(fit.argmin())


def are_weights(values: np.ndarray) -> bool:
    """Whether numbers of edges, `[E]`, say more than how often each is there: they differ, and not
    all are whole from 1 on."""
    counts = (values >= 1) & (values == np.floor(values))
    return bool(len(values) and (values != values[0]).any() and not counts.all())


def of_edata(graph: Any) -> Tensor | None:
    """The weights of a DGLGraph, float32 `[E]` in the order of its edges: edata of a name in
    WEIGHTS."""
    names = [name for name in WEIGHTS if name in graph.edata]
    if len(names) > 1:
        raise InputError(f"graph: expected one edata of weights, found {' and '.join(names)}")
    if not names:
        return None
    return torch.from_numpy(checked(as_array(graph.edata[names[0]]), graph.num_edges()))


def listed(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Edges, `[E]` each, but those of weight 0, and `checked` weights; None where each is 1."""
    if weights is None:
        return source, target, None
    weights = checked(weights, len(source))
    if not weights.all():
        there = weights > 0
        source, target, weights = source[there], target[there], weights[there]
    return source, target, None if (weights == 1).all() else weights


def both_ways(
    source: np.ndarray,
    target: np.ndarray,
    weights: np.ndarray,
    num_nodes: int,
    advice: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The entries of the paper's graph over weighted edges, `[E]` each.

    Parallel edges in one direction add up; where both directions are listed, the mean counts.
    Self-loops that are given go, and one of weight 1 per node comes.

    Args:
        advice: how the caller adds the reverse of an edge, where one must be listed; None: it need
            not.

    Returns:
        row·N + column, int64, ascending, each once; and the weights, float32.

    Raises:
        InputError: an edge without its reverse, or with one of another weight, where one must be
            listed; a sum that float32 cannot hold.
    """
    keys, sums = _summed(source, target, weights, num_nodes)
    turned = keys % num_nodes * num_nodes + keys // num_nodes
    at = np.searchsorted(keys, turned)
    at[at == len(keys)] = 0
    reverse, both = sums[at], keys[at] == turned
    del at
    alike = np.isclose(sums, reverse, rtol=SAME, atol=0) | ~both
    if advice is not None and not both.all():
        raise no_reverse(int(keys[both.argmin()]), num_nodes, advice)
    if advice is not None and not alike.all():
        edge = int(alike.argmin())
        row, column = divmod(int(keys[edge]), num_nodes)
        raise InputError(
            f"graph: expected an undirected graph, but edge {column} -> {row} weighs "
            f"{sums[edge]:g} and its reverse {reverse[edge]:g}"
        )
    if not alike.all():
        log.warning(
            "%s edges weigh more in one direction than in the other: the mean counts",
            f"{np.count_nonzero(~alike) // 2:,}",
        )
    with np.errstate(over="ignore"):
        sums = np.where(both, (sums + reverse) / 2, sums).astype(np.float32)
    if not np.isfinite(sums).all():
        raise InputError("graph: expected edge weights whose sums float32 can hold")
    loops = np.arange(num_nodes) * (num_nodes + 1)
    keys = np.concatenate([keys, turned[~both], loops])
    sums = np.concatenate([sums, sums[~both], np.ones(num_nodes, np.float32)])
    order = keys.argsort()
    return keys[order], sums[order]


def _summed(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray, num_nodes: int
) -> tuple[np.ndarray, np.ndarray]:
    """row·N + column of the edges but self-loops, ascending, each once, with its sum, float64."""
    keys = np.multiply(target, num_nodes, dtype=np.int64)
    keys += source
    order = np.flatnonzero(source != target)
    order = order[keys[order].argsort(kind="stable")]
    keys = keys[order]
    first = np.flatnonzero(np.append(True, keys[1:] > keys[:-1])[: len(keys)])
    return keys[first], np.add.reduceat(weights[order], first, dtype=np.float64)


def no_reverse(key: int, num_nodes: int, advice: str) -> InputError:
    row, column = divmod(key, num_nodes)
    return InputError(
        f"graph: expected an undirected graph, but edge {column} -> {row} has no reverse"
        f"{advice and f'; {advice}'}"
    )


def row_sums(indptr: Tensor, weights: Tensor) -> Tensor:
    """The sum of the weights of each row, float64 `[N]`."""
    sums = weights.new_empty(len(indptr) - 1, dtype=torch.float64)
    for first in range(0, len(sums), ROWS):
        rows = indptr[first : first + ROWS + 1]
        values = weights[rows[0] : rows[-1]].double()
        sums[first : first + ROWS] = torch.segment_reduce(values, "sum", offsets=rows - rows[0])
    return sums
