"""A graph whose edges come and go, against the set of its edges."""

import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.graph.changing import ChangingGraph, Edits

from .changing import Edges


def same(graph, csr):
    found = graph.csr()
    assert torch.equal(found.indptr, csr.indptr) and torch.equal(found.indices, csr.indices)
    torch.testing.assert_close(graph.degrees, csr.row_sums.double())
    if csr.weights is not None:
        assert torch.equal(found.weights, csr.weights)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_stream_of_edits(weighted):
    edges = Edges(60, 150, weighted)
    graph, moves = ChangingGraph.of(edges.csr()), 0
    same(graph, edges.csr())
    for k in range(30):
        before = graph.csr()
        edits = edges.edits(add=k % 4, remove=k % 3, nodes=int(k % 5 == 0))
        touched, moved = graph.change(edits)
        moves += moved
        same(graph, edges.csr())
        assert graph.num_edges == edges.csr().num_edges
        ends = torch.cat([edits.added.flatten(), edits.removed.flatten()])
        new = torch.arange(before.num_rows, graph.num_nodes)
        assert touched.tolist() == sorted({*ends.tolist(), *new.tolist()})
    assert moves > 1


def test_an_edge_with_another_weight():
    edges = Edges(20, 30, weighted=True)
    graph, pair = ChangingGraph.of(edges.csr()), min(edges.weights)
    edge = torch.tensor([pair])
    graph.change(Edits(edge, edge.flip(1), torch.tensor([7.5])))
    edges.weights[pair] = 7.5
    same(graph, edges.csr())


def test_what_is_not_there_and_what_is():
    edges = Edges(20, 30, weighted=False)
    graph, none = ChangingGraph.of(edges.csr()), torch.empty(0, 2, dtype=torch.long)
    there, not_there = min(edges.weights), edges.others(1)[0]
    for edits, message in (
        (
            Edits(none, torch.tensor([not_there])),
            f"removed edges: expected some of the graph, found .*{not_there[0]}",
        ),
        (
            Edits(torch.tensor([there]), none),
            f"added edges: expected none that the graph has, found .*{there[0]}",
        ),
    ):
        with pytest.raises(InputError, match=message):
            graph.change(edits)
        same(graph, edges.csr())
