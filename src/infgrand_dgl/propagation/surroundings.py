"""The nodes within some hops of others, and the part of a graph that lies there."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..graph.csr import CSRGraph

# Ids, int64 `[b]`, to lengths of rows, their columns, int64, and their weights or None.
Entries = Callable[[Tensor], tuple[Tensor, Tensor, Tensor | None]]

FEW = 16  # ids are looked up by sorting where they are fewer than one in so many of all


def surroundings(
    entries: Entries, ids: Tensor, hops: int, num_nodes: int
) -> tuple[list[Tensor], CSRGraph]:
    """The nodes within 0 to `hops` hops of distinct ids, each list the beginning of the next, and
    the rows of all but those that come in the last; columns are places in the last list."""
    reach, newest = [ids], ids
    found = []
    for _ in range(hops):
        found.append(entries(newest))
        newest = _others(found[-1][1], reach[-1], num_nodes)
        reach.append(torch.cat([reach[-1], newest]))
    none = torch.empty(0, dtype=torch.long)
    weights = [each for _, _, each in found if each is not None]
    return reach, CSRGraph(
        pointers(torch.cat([none, *(lengths for lengths, _, _ in found)])),
        places(reach[-1], torch.cat([none, *(columns for _, columns, _ in found)]), num_nodes),
        len(reach[-1]),
        weights=torch.cat(weights) if weights else None,
    )


def first_rows(graph: CSRGraph, rows: int, columns: int) -> CSRGraph:
    """The first rows, all of whose columns are among the first so many."""
    end = int(graph.indptr[rows])
    weights = None if graph.weights is None else graph.weights[:end]
    return CSRGraph(graph.indptr[: rows + 1], graph.indices[:end], columns, weights=weights)


def pointers(lengths: Tensor) -> Tensor:
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])


def places(nodes: Tensor, ids: Tensor, num_nodes: int) -> Tensor:
    """Where in distinct `nodes` ids are, int32."""
    if FEW * len(ids) < num_nodes:
        order = nodes.argsort()
        return order[torch.searchsorted(nodes[order], ids)].int() if len(ids) else ids.int()
    place = torch.empty(num_nodes, dtype=torch.int32)
    place[nodes] = torch.arange(len(nodes), dtype=torch.int32)
    return place[ids]


def _others(ids: Tensor, known: Tensor, num_nodes: int) -> Tensor:
    """Each once, ascending, but those that are known."""
    if FEW * len(ids) < num_nodes:
        ids = ids.unique()
        return ids[~torch.isin(ids, known)]
    found = torch.zeros(num_nodes, dtype=torch.bool)
    found[ids] = True
    found[known] = False
    return found.nonzero().flatten()
