"""Triangles of nodes against networkx, all triples, and graphs whose counts are known."""

from itertools import combinations

import networkx
import numpy as np
import pytest
import torch

from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.influence import triangles as module
from infgrand_dgl.influence.triangles import triangles
from tests.conftest import dense_adjacency, random_undirected


def of_edges(edges, nodes, device):
    source, target = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    return CSRGraph.from_edges(source, target, nodes).to(device)


@pytest.mark.parametrize("at_once", [1, 7, module.AT_ONCE])
@pytest.mark.parametrize(("nodes", "edges"), [(1, 1), (6, 9), (60, 400), (300, 2500)])
def test_triangles_are_networkx(nodes, edges, at_once, device, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    csr = random_undirected(nodes, edges, device)
    rows = torch.repeat_interleave(csr.row_lengths).tolist()
    pairs = zip(rows, csr.indices.tolist(), strict=True)
    other = networkx.Graph([(a, b) for a, b in pairs if a != b])
    other.add_nodes_from(range(nodes))
    expected = networkx.triangles(other)
    assert triangles(csr).tolist() == [expected[i] for i in range(nodes)]


def test_triangles_are_triples_of_neighbours(device):
    csr = random_undirected(25, 120, device, weighted=True)
    A = dense_adjacency(csr) > 0
    expected = torch.zeros(25, dtype=torch.long)
    for corners in combinations(range(25), 3):
        if all(A[i, j] for i, j in combinations(corners, 2)):
            expected[list(corners)] += 1
    assert torch.equal(triangles(csr).cpu(), expected)


def test_triangles_by_hand(device):
    """A clique, a wheel with its hub, and nothing."""
    clique = list(combinations(range(6), 2))
    assert triangles(of_edges(clique, 7, device)).tolist() == [10] * 6 + [0]
    rim = [(i, i % 5 + 1) for i in range(1, 6)]
    wheel = [*rim, *((0, i) for i in range(1, 6))]
    assert triangles(of_edges(wheel, 6, device)).tolist() == [5, 2, 2, 2, 2, 2]
    assert triangles(of_edges([(0, 1), (1, 2)], 3, device)).tolist() == [0, 0, 0]
    assert triangles(of_edges([], 2, device)).tolist() == [0, 0]


def test_a_hub_costs_no_more_than_its_edges(device, monkeypatch):
    """Of 30,000 leaves in pairs around one node: pairs of its neighbours would be 4.5e8."""
    looked_at = []
    repeat = torch.repeat_interleave

    def counting(*args, **options):
        found = repeat(*args, **options)
        looked_at.append(len(found))
        return found

    n = 30_000
    hub = [(0, i) for i in range(1, n + 1)]
    csr = of_edges([*hub, *((i, i + 1) for i in range(1, n, 2))], n + 1, device)
    monkeypatch.setattr(torch, "repeat_interleave", counting)
    assert triangles(csr).tolist() == [n // 2] + [1] * n
    assert sum(looked_at) < 5 * csr.num_edges
