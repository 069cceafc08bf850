from typing import Any

import numpy as np
import pytest
import torch

from infgrand_dgl.errors import InputError
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.graph.dgl_bridge import dgl
from tests.conftest import dense_adjacency, random_csr, random_undirected


def test_from_edges_is_undirected_simple_with_one_self_loop():
    source, target = np.random.randint(0, 40, size=(2, 200))
    A = dense_adjacency(CSRGraph.from_edges(source, target, 45))
    expected = torch.zeros(45, 45, dtype=torch.float64)
    expected[source, target] = expected[target, source] = 1
    expected.fill_diagonal_(1)
    assert torch.equal(A, expected)


def test_rows_are_in_edges_and_survive_dgl():
    graph = dgl.graph(([0, 0, 2, 2], [1, 2, 1, 1]), num_nodes=4)
    csr = CSRGraph.from_dgl(graph)
    assert csr.indptr.tolist() == [0, 0, 3, 4, 4]
    assert sorted(csr.indices[0:3].tolist()) == [0, 2, 2]
    again = CSRGraph.from_dgl(csr.to_dgl())
    assert torch.equal(dense_adjacency(again), dense_adjacency(csr))


def test_undirected_merges_and_completes():
    graph = dgl.graph(([0, 1, 1, 0, 2], [1, 0, 0, 1, 2]), num_nodes=4)
    expected = torch.eye(4, dtype=torch.float64)
    expected[0, 1] = expected[1, 0] = 1
    assert torch.equal(dense_adjacency(CSRGraph.undirected(graph)), expected)


def test_directed_graph_is_refused_by_edge():
    graph = dgl.graph(([0, 1, 3], [1, 0, 2]), num_nodes=4)
    with pytest.raises(InputError, match="edge 3 -> 2 has no reverse; dgl.to_bidirected"):
        CSRGraph.undirected(graph)


def test_several_types_are_refused():
    graph = dgl.heterograph({("a", "to", "b"): ([0], [0])})
    with pytest.raises(InputError, match="one node type"):
        CSRGraph.undirected(graph)


def test_blocks_are_read_as_they_are_but_are_no_whole_graph():
    block = dgl.to_block(dgl.graph(([5, 7, 7], [1, 1, 2])), torch.tensor([1, 2]))
    csr = CSRGraph.from_dgl(block)
    assert (csr.num_rows, csr.num_cols) == (2, 4)
    assert csr.row_lengths.tolist() == [2, 1]
    with pytest.raises(InputError, match="found a sampled block"):
        CSRGraph.undirected(block)


def test_transposed(device):
    csr = random_csr(30, 20, 150, device)
    assert torch.equal(dense_adjacency(csr.transposed), dense_adjacency(csr).T)
    undirected = random_undirected(30, 40, device)
    assert undirected.transposed is undirected
    A = dense_adjacency(undirected)
    assert torch.equal(A, A.T)


def test_to_keeps_what_is_there_already(device):
    csr = random_undirected(10, 20)
    assert csr.to("cpu") is csr
    moved = csr.to(device)
    assert moved.symmetric and moved.indices.device.type == device


def test_subgraph():
    csr = random_undirected(30, 60)
    nodes = torch.randperm(30)[:17]
    found = csr.subgraph(nodes)
    assert found.symmetric and found.num_cols == 17
    assert torch.equal(dense_adjacency(found), dense_adjacency(csr)[nodes][:, nodes])


def test_block():
    """Rows of the graph with all their neighbours, themselves first."""
    csr = random_undirected(40, 120)
    A = dense_adjacency(csr)
    for first, last in ((0, 40), (0, 1), (7, 19), (39, 40)):
        block: Any
        block, nodes = csr.block(first, last)
        assert nodes[: last - first].tolist() == list(range(first, last))
        assert torch.equal(dense_adjacency(block), A[first:last][:, nodes])
        assert (dense_adjacency(block).sum(0) > 0)[last - first :].all()
        assert torch.equal(block.row_degrees, csr.row_lengths[first:last])
        assert torch.equal(block.col_degrees, csr.row_lengths[nodes])


def unpacked(schedule):
    word, begin = schedule.T
    return word & 0xFFFFFFFF, word >> 32, begin


def test_pieces_cover_the_long_rows_in_order():
    lengths = torch.tensor([512, 513, 0, 90_000, 3, 1024])
    indptr = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    csr = CSRGraph(indptr, torch.zeros(int(indptr[-1]), dtype=torch.int32), 1)
    rows, entries, begin = unpacked(csr.pieces)
    end = begin + entries
    for row, size in ((1, 256), (3, 300), (5, 256)):
        mine = rows == row
        spans = zip(begin[mine].tolist(), end[mine].tolist(), strict=True)
        covered = torch.cat([torch.arange(a, b) for a, b in spans])
        assert covered.tolist() == list(range(int(indptr[row]), int(indptr[row + 1])))
        sizes = (end - begin)[mine]
        assert (sizes[:-1] == size).all() and sizes[-1] <= size
    assert rows.unique().tolist() == [1, 3, 5] and (rows.diff() >= 0).all()
    assert CSRGraph.from_edges(np.arange(5), np.arange(5), 9).pieces.shape == (0, 2)


def test_a_schedule_has_the_pieces_and_then_every_row_the_longest_first(device):
    lengths = torch.tensor([7, 600, 0, 65, 3, 64, 8, 1])
    indptr = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    csr = CSRGraph(indptr, torch.zeros(int(indptr[-1]), dtype=torch.int32), 1).to(device)
    P = len(csr.pieces)
    assert P == 3 and torch.equal(csr.schedule[:P], csr.pieces)
    rows, entries, begin = unpacked(csr.schedule[P:].cpu())
    assert rows.tolist() == [1, 3, 5, 0, 4, 6, 7, 2]  # in eights, alike ones as they were numbered
    assert torch.equal(entries, lengths[rows]) and torch.equal(begin, indptr[rows])


def test_rows_as_good_as_alike_need_no_schedule(device):
    lengths = torch.tensor([64, 0, 3])
    indptr = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    csr = CSRGraph(indptr, torch.zeros(67, dtype=torch.int32), 1).to(device)
    assert csr.schedule.shape == (0, 2)
    assert CSRGraph(indptr[:1], torch.zeros(0, dtype=torch.int32), 1).schedule.shape == (0, 2)
