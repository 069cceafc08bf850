"""Hops of a changed graph, against propagating over all of it."""

import pytest
import torch

from infgrand_dgl.graph.changing import ChangingGraph
from infgrand_dgl.propagation.equation import Propagation
from infgrand_dgl.propagation.incremental import ChangedHops
from tests.graph.changing import Edges


def hops(csr, x, K, w):
    return [Propagation(k, w, "last").of(csr, x) for k in range(K + 1)]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("w", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("K", [0, 1, 3])
def test_a_stream_of_changes(K, w, weighted):
    """Edges, new nodes and other features; rows beyond the reach stay as they are, bit for bit."""
    edges, D = Edges(80, 100, weighted), 4
    x = torch.randn(80, D)
    graph, stored = ChangingGraph.of(edges.csr()), hops(edges.csr(), x, K, w)
    for step in range(12):
        touched, _ = graph.change(edges.edits(step % 3, step % 2, nodes=step % 4 // 3))
        x = torch.cat([x, torch.randn(graph.num_nodes - len(x), D)])
        others = torch.randperm(len(x))[: step % 2]
        x[others] = torch.randn(len(others), D)
        touched = torch.cat([touched, others]).unique()
        changed = ChangedHops.of(graph, touched, x[touched], stored, w)

        expected = hops(edges.csr(), x, K, w)
        for k, (known, new) in enumerate(zip(stored, expected, strict=True)):
            ids = changed.reach[k]
            torch.testing.assert_close(changed.rows[k], new[ids], rtol=1e-5, atol=1e-6)
            found = torch.cat([known, known.new_zeros(len(x) - len(known), D)])
            found[ids] = changed.rows[k]
            torch.testing.assert_close(found, new, rtol=1e-5, atol=1e-6)
            for pooling in ("mean", "max", None):
                of = Propagation(k, w, pooling)
                nodes, rows = changed.inputs(of)
                whole = of.of(edges.csr(), x)
                torch.testing.assert_close(rows, whole[nodes], rtol=1e-5, atol=1e-6)
            stored[k] = found


def test_reach_is_no_further_than_the_hops():
    """On a path an edge at its end reaches as many nodes as there are hops."""
    edges = Edges(50, 0, False)
    edges.add([(i, i + 1) for i in range(48)])
    x = torch.randn(50, 2)
    graph, stored = ChangingGraph.of(edges.csr()), hops(edges.csr(), x, 2, 1.0)
    edges.others = lambda count: [(48, 49)]  # type: ignore[method-assign]
    touched, _ = graph.change(edges.edits(1, 0))
    changed = ChangedHops.of(graph, touched, x[touched], stored, 1.0)
    assert [sorted(ids.tolist()) for ids in changed.reach] == [
        list(range(48 - k, 50)) for k in range(4)
    ]
