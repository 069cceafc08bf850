"""Weights of a CSRGraph: merged, the same in both directions, and with it wherever it goes."""

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from infgrand_dgl.errors import InputError
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.graph.dgl_bridge import dgl
from tests.conftest import dense_adjacency, random_csr, random_undirected


def same(a: CSRGraph, b: CSRGraph) -> bool:
    """Bit for bit."""
    arrays = (a.indptr, b.indptr), (a.indices, b.indices), (a.weights, b.weights)
    return all(x is y is None or torch.equal(x, y) for x, y in arrays)  # type: ignore[arg-type]


def dense_weights(source: Any, target: Any, weights: Any, N: int) -> torch.Tensor:
    """As the docstring of `from_edges` reads, float64."""
    W, listed = np.zeros((N, N)), np.zeros((N, N), bool)
    for s, t, w in zip(source, target, weights, strict=True):
        if s != t and w != 0:
            W[t, s] += w
            listed[t, s] = True
    A = np.where(listed & listed.T, (W + W.T) / 2, W + W.T)
    np.fill_diagonal(A, 1)
    return torch.from_numpy(A)


def test_from_edges_adds_parallel_edges_and_takes_the_mean_of_directions():
    N, E = 40, 300
    source, target = np.random.randint(0, 30, size=(2, E))
    weights = np.random.uniform(0, 2, E) * (np.random.rand(E) < 0.8)
    csr = CSRGraph.from_edges(source, target, N, weights)
    expected = dense_weights(source, target, weights, N)
    A = dense_adjacency(csr)
    torch.testing.assert_close(A, expected, rtol=1e-6, atol=0)
    assert torch.equal(A, A.T) and csr.symmetric
    assert csr.weights is not None and csr.weights.dtype == torch.float32
    assert csr.num_edges == np.count_nonzero(expected)
    columns = [row.tolist() for row in csr.indices.split(csr.row_lengths.tolist())]
    assert all(row == sorted(row) for row in columns)


def test_by_hand():
    source, target = np.array([[0, 0, 1, 1, 2, 3], [1, 1, 0, 2, 2, 4]])
    csr = CSRGraph.from_edges(source, target, 5, np.array([0.5, 1, 2, 3, 9, 0]))
    assert dense_adjacency(csr).tolist() == [
        [1, 1.75, 0, 0, 0],
        [1.75, 1, 3, 0, 0],
        [0, 3, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 0, 1],
    ]
    assert csr.row_sums.tolist() == [2.75, 5.75, 4, 1, 1]


def test_the_mean_is_told_in_one_line(caplog):
    source, target, weights = np.array([0, 1, 1, 2]), np.array([1, 0, 2, 1]), np.array([1, 2, 3, 3])
    with caplog.at_level(logging.WARNING):
        CSRGraph.from_edges(source, target, 3, weights)
    (line,) = (record.getMessage() for record in caplog.records)
    assert line == "1 edges weigh more in one direction than in the other: the mean counts"
    caplog.clear()
    CSRGraph.from_edges(source, target, 3, np.array([2, 2, 3, 3]))
    assert not caplog.records


@pytest.mark.parametrize("dtype", [float, np.float32, int, np.uint8, bool])
def test_weights_of_1_are_none(dtype):
    source, target = np.random.randint(0, 20, size=(2, 80))
    plain = CSRGraph.from_edges(source, target, 25)
    assert same(CSRGraph.from_edges(source, target, 25, np.ones(80, dtype)), plain)
    rows, cols = np.append(source, target), np.append(target, source)
    assert same(CSRGraph.mirrored(rows, cols, 25, "", np.ones(160, dtype)), plain)


def test_the_order_of_edges_does_not_matter():
    source, target = np.random.randint(0, 20, size=(2, 200))
    weights = np.random.rand(200).astype(np.float32)
    order = np.random.permutation(200)
    a = CSRGraph.from_edges(source, target, 20, weights)
    assert same(a, CSRGraph.from_edges(source[order], target[order], 20, weights[order]))
    b = CSRGraph.from_edges(target, source, 20, weights)
    assert same(a, b)


def test_mirrored_takes_what_from_edges_made():
    csr = random_undirected(30, 90, weighted=True)
    assert csr.weights is not None
    rows = torch.repeat_interleave(csr.row_lengths).numpy()
    columns, weights = csr.indices.numpy(), csr.weights.numpy()
    assert same(CSRGraph.mirrored(columns, rows, 30, "", weights), csr)
    rounded = weights * (1 + 1e-7 * np.random.randn(len(weights)))
    again = dense_adjacency(CSRGraph.mirrored(columns, rows, 30, "", rounded))
    assert torch.equal(again, again.T)
    torch.testing.assert_close(again, dense_adjacency(csr), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "weights, told",
    [
        (
            [1.0, -0.25],
            "edge weights of 0 .no edge. or above, finite and within float32, found -0.25",
        ),
        ([float("nan"), 1.0], "found nan"),
        ([1.0, float("inf")], "found inf"),
        ([1.0, -float("inf")], "found -inf"),
        ([1.0, 1e-60], "found 1e-60"),
        ([1.0, 1e60], "found 1e.60"),
        ([1.0], r"one weight for each of the 2 edges, found \[1\]"),
        ([[1.0, 2.0], [3.0, 4.0]], r"found \[2, 2\]"),
        (["a", "b"], "numbers as edge weights, found <U1"),
    ],
)
def test_what_is_no_weight_is_one_error(weights, told):
    edges = np.array([0, 1]), np.array([1, 2])
    for make in (CSRGraph.from_edges, CSRGraph.mirrored):
        with pytest.raises(InputError, match=told) as error:
            make(*edges, 3, weights=np.array(weights))
        assert "\n" not in str(error.value)


def test_a_sum_beyond_float32():
    edges = np.array([0, 0]), np.array([1, 1])
    with pytest.raises(InputError, match="whose sums float32 can hold"):
        CSRGraph.from_edges(*edges, 2, np.array([3e38, 2e38]))


def test_they_go_with_the_graph(device):
    csr = random_undirected(40, 120, weighted=True)
    A = dense_adjacency(csr)
    moved = csr.to(device)
    assert moved.weights is not None and moved.weights.device.type == device
    assert torch.equal(dense_adjacency(moved), A) and moved.transposed is moved
    torch.testing.assert_close(moved.row_sums.cpu(), A.sum(1))
    assert torch.equal(moved.col_sums, moved.row_sums)

    nodes = torch.randperm(40)[:23]
    assert torch.equal(dense_adjacency(csr.subgraph(nodes)), A[nodes][:, nodes])
    block: Any
    block, nodes = csr.block(7, 19)
    assert torch.equal(dense_adjacency(block), A[7:19][:, nodes])
    assert torch.equal(block.row_degrees, csr.row_sums[7:19])
    assert torch.equal(block.col_degrees, csr.row_sums[nodes])

    graph = csr.to_dgl()
    assert csr.weights is not None
    assert torch.equal(graph.edata["weight"], csr.weights)
    assert same(CSRGraph.from_dgl(graph), replace(csr, symmetric=False))
    assert same(CSRGraph.undirected(graph), csr)


def test_any_rows_to_any_columns():
    plain = random_csr(30, 20, 150)
    assert plain.row_sums is plain.row_lengths and plain.col_sums is plain.col_lengths
    csr = replace(plain, weights=torch.rand(150) + 0.1)
    A = dense_adjacency(csr)
    assert torch.equal(dense_adjacency(csr.transposed), A.T)
    torch.testing.assert_close(csr.row_sums, A.sum(1))
    torch.testing.assert_close(csr.col_sums, A.sum(0))


def test_a_block_of_dgl_keeps_its_weights():
    graph = dgl.graph(([5, 7, 7, 1], [1, 1, 2, 2]))
    graph.edata["weight"] = torch.tensor([0.5, 2, 3, 4])
    block = dgl.to_block(graph, torch.tensor([2, 1]))
    block.edata["weight"] = graph.edata["weight"][block.edata[dgl.EID]]
    csr = CSRGraph.from_dgl(block)
    names = block.srcdata[dgl.NID]
    A = dense_adjacency(csr)
    for source, row, weight in ((5, 1, 0.5), (7, 1, 2), (7, 0, 3), (1, 0, 4)):
        column = int((names == source).nonzero())
        assert A[row, column] == weight


def test_row_sums_by_pieces(monkeypatch):
    monkeypatch.setattr("infgrand_dgl.graph.weights.ROWS", 7)
    csr = replace(random_csr(40, 20, 60), weights=torch.rand(60))
    torch.testing.assert_close(csr.row_sums, dense_adjacency(csr).sum(1))
    empty = CSRGraph(torch.zeros(1, dtype=torch.long), csr.indices[:0], 3, weights=torch.rand(0))
    assert empty.row_sums.shape == (0,)
