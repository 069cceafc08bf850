"""Edits of a graph as files have them: edges that come and go, new nodes, other features."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..graph.changing import Edits
from .edge_lists import EdgeList, in_range, read_edges
from .feature_files import read_features
from .imported import Options
from .npz import keys_of, read_npz

log = logging.getLogger(__name__)


def read_pairs(path: Path, argument: str) -> EdgeList:
    """Two columns of ids, and where edges have weights one named weight."""
    try:
        return read_edges(path, Options())
    except InputError as error:
        if "unclear" not in str(error):
            raise
        expected = "expected two columns of ids, and where edges have weights one named weight"
        raise InputError(f"{argument} {path}: {expected}") from None


def read_edits(
    added: Path | None, removed: Path | None, joining: Path | None, known: int, new: int
) -> Edits:
    """
    Args:
        added, removed: undirected edges among known nodes, ids 0 to `known` - 1.
        joining: edges of the new nodes, `known` and above, with any.
        new: how many these are.

    Raises:
        InputError: unreadable, an id that is none, a self-loop, an edge that is listed twice, a
            weight that is none.
    """
    nodes = known + new
    parts = [
        _edges("--add-edges", added, known, "of the run's graph"),
        _edges("--add-nodes", joining, nodes, f"new ones from {known}"),
    ]
    old = (parts[1][0] < known).all(axis=1)
    if old.any():
        found = parts[1][0][old][0].tolist()
        raise InputError(f"--add-nodes {joining}: expected a new node in each edge, found {found}")
    edges = np.concatenate([ends for ends, _ in parts])
    _check_once("--add-edges, --add-nodes", edges, nodes)
    gone, _ = _edges("--remove-edges", removed, known, "of the run's graph")
    _check_once(f"--remove-edges {removed}", gone, nodes)
    weights = None
    if any(each is not None for _, each in parts):
        for path, (_, each) in zip((added, joining), parts, strict=True):
            if path is not None and each is None:
                log.warning("%s has no weights: each edge weighs 1", path)
        ones = (np.ones(len(ends)) if each is None else each for ends, each in parts)
        weights = torch.from_numpy(np.concatenate([*ones]).astype(np.float32))
    return Edits(torch.from_numpy(edges), torch.from_numpy(gone), weights, new)


def read_changed_features(path: Path) -> tuple[Tensor, Any]:
    """Ids, int64 `[n]`, and rows `[n, D]` as `feature_files` has them: a table with a column of
    ids, or a .npz of arrays `ids` and `features`.

    Raises:
        InputError: neither; ids that are no integers, or there twice.
    """
    argument = f"--set-features {path}"
    if "ids" in keys_of(path):
        found = read_npz(path, ["ids", "features"])
        ids, rows = found["ids"], found["features"]
    else:
        rows, named = read_features(path)
        if named is None:
            expected = "expected a column id beside the features (or .npz with ids and features)"
            raise InputError(f"{argument}: {expected}")
        ids = named
    if ids.ndim != 1 or ids.dtype.kind not in "iu" or len(ids) != rows.shape[0]:
        expected = f"expected integers as ids, one for each of {rows.shape[0]} rows"
        raise InputError(f"{argument}: {expected}; found {ids.dtype} {list(ids.shape)}")
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise InputError(f"{argument}: expected each id once, found {values[counts > 1][0]} twice")
    if len(ids) and int(ids.max()) > np.iinfo(np.int64).max:
        raise InputError(f"{argument}: expected ids below 2^63, found {ids.max()}")
    return torch.from_numpy(ids.astype(np.int64)), rows


def _edges(
    argument: str, path: Path | None, nodes: int, where: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Ids, int64 `[m, 2]`, and weights `[m]`."""
    if path is None:
        return np.empty((0, 2), np.int64), None
    listed = read_pairs(path, argument)
    ends = in_range(listed, nodes, where).astype(np.int64).reshape(-1, 2)
    loops = ends[:, 0] == ends[:, 1]
    if loops.any():
        node = ends[loops][0, 0]
        raise InputError(f"{argument} {path}: expected edges of two nodes, found {node} twice")
    if listed.weights is not None and not (listed.weights > 0).all():
        raise InputError(f"{argument} {path}: expected weights above 0, found 0")
    return ends, listed.weights


def _check_once(argument: str, edges: np.ndarray, nodes: int) -> None:
    keys, counts = np.unique(edges.min(axis=1) * nodes + edges.max(axis=1), return_counts=True)
    if (counts > 1).any():
        edge = list(divmod(int(keys[counts > 1][0]), nodes))
        raise InputError(f"{argument}: expected each edge once, found {edge} twice")
