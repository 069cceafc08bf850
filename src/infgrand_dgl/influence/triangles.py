"""Triangles of a graph, node by node."""

from itertools import pairwise

import torch
from torch import Tensor

from ..graph import CSRGraph
from ..system.arrays import slices

AT_ONCE = 1 << 22  # entries, or pairs of neighbours, that are looked at together


@torch.no_grad()
def triangles(graph: CSRGraph) -> Tensor:
    r"""How many triangles a node is a corner of, int64 `[N]`; in some ten times the graph's memory.

    Every edge is turned from the node of lower degree to that of higher (by number among equals),
    so that none has more than $\sqrt{2E}$ out-neighbours, a hub hardly any. A triangle is then one
    pair of out-neighbours that are neighbours themselves: of its lowest corner, once (Chiba and
    Nishizeki, 1985; Latapy, 2008).

    Args:
        graph: undirected and simple, self-loops or not; weights have no part in it.
    """
    N, device = graph.num_rows, graph.indptr.device
    by_degree = torch.argsort(graph.row_lengths, stable=True)
    keys = _turned(graph, by_degree)
    low, high = keys.div(N, rounding_mode="floor"), keys % N
    # Of edge e: how many entries of its row follow it, each with e a pair of out-neighbours.
    later = torch.bincount(low, minlength=N).cumsum(0)[low]
    later -= torch.arange(1, len(keys) + 1, device=device)
    edges = torch.argsort(high)  # pairs that share their middle corner: what they ask for is near
    done = later[edges].cumsum(0)
    bounds = torch.arange(0, int(later.sum()), AT_ONCE, device=device)
    cuts = [*torch.searchsorted(done, bounds, right=True).tolist(), len(edges)]
    count = torch.zeros(N, dtype=torch.long, device=device)
    for begin, end in pairwise(cuts):
        some, many = edges[begin:end], later[edges[begin:end]]
        first = torch.repeat_interleave(some + 1 - (many.cumsum(0) - many), many)
        other = high[first.add_(torch.arange(len(first), device=device))]
        one = torch.repeat_interleave(some, many)
        wanted = high[one] * N + other
        found = keys[torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)] == wanted
        one = one[found]
        count += torch.bincount(torch.cat([low[one], high[one], other[found]]), minlength=N)
    return torch.empty_like(count).index_copy_(0, by_degree, count)


def _turned(graph: CSRGraph, by_degree: Tensor) -> Tensor:
    """a·N + b of every edge from a to b, ascending; nodes go by their places in `by_degree`."""
    N, device = graph.num_rows, graph.indptr.device
    place = torch.empty_like(by_degree)
    place[by_degree] = torch.arange(N, device=device)
    parts = []
    for rows in slices(range(N), max(1, AT_ONCE * N // max(1, graph.num_edges))):
        pointers = graph.indptr[rows.start : rows.stop + 1]
        a = torch.repeat_interleave(place[rows.start : rows.stop], pointers.diff())
        b = place[graph.indices[int(pointers[0]) : int(pointers[-1])].long()]
        up = a < b
        parts.append(a[up] * N + b[up])
    return torch.cat(parts).sort().values
