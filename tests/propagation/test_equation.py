import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError, propagate_features
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.graph.dgl_bridge import dgl
from infgrand_dgl.system.allocator import return_freed_memory
from tests.conftest import dense_adjacency, random_undirected


def stages(csr, x, hops, w):
    """The equation in dense float64: every X^(k)."""
    A = dense_adjacency(csr)
    A = A - torch.eye(len(A)) + w * torch.eye(len(A))
    degree = A.sum(dim=1)
    s = torch.where(degree > 0, degree.rsqrt(), 0.0)
    found = [x.cpu().double()]
    for _ in range(hops):
        found.append(s[:, None] * A * s @ found[-1])
    return torch.stack(found)


@pytest.mark.parametrize("w", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("pooling", ["mean", "max", "min"])
@pytest.mark.parametrize("hops", [0, 1, 2, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_equation(weighted, hops, pooling, w, device):
    csr = random_undirected(70, 120, device, weighted)
    x = torch.randn(70, 11, device=device)
    expected = {"mean": lambda t: t.mean(0), "max": lambda t: t.amax(0), "min": lambda t: t.amin(0)}
    found = propagate_features(csr, x, hops=hops, pooling=pooling, self_loop_weight=w)
    assert found.data_ptr() != x.data_ptr()
    expected_value = expected[pooling](stages(csr, x, hops, w)).float()
    torch.testing.assert_close(found.cpu(), expected_value, rtol=1e-5, atol=1e-6)


def test_path_by_hand():
    """a - b: with w = 1 both rows of the normalised matrix are (1/2, 1/2)."""
    graph = dgl.graph(([0, 1], [1, 0]))
    x = torch.tensor([[2.0], [4.0]])
    assert propagate_features(graph, x, hops=1).tolist() == [[2.5], [3.5]]


def test_weighted_path_by_hand():
    """a - b of weight 3: both rows of A + wI sum to 4."""
    graph = dgl.graph(([0, 1], [1, 0]))
    graph.edata["w"] = torch.tensor([3.0, 3.0])
    x = torch.tensor([[4.0], [8.0]])
    assert propagate_features(graph, x, hops=1).tolist() == [[(4 + 7) / 2], [(8 + 5) / 2]]


def test_the_numbers_of_nodes_make_no_difference(device):
    source, target = np.random.randint(0, 40, size=(2, 120))
    weights, order = np.random.uniform(0.1, 3, 120), np.random.permutation(42)
    x = torch.randn(42, 5, device=device)
    there = torch.empty_like(x)
    there[order] = x
    csr = CSRGraph.from_edges(source, target, 42, weights)
    moved = CSRGraph.from_edges(order[source], order[target], 42, weights)
    found = propagate_features(moved, there, hops=3)[order]
    torch.testing.assert_close(found, propagate_features(csr, x, hops=3))


def test_self_loops_and_parallel_edges_make_no_difference():
    csr = random_undirected(50, 100)
    graph, x = csr.to_dgl(), torch.randn(50, 4)
    crowded = dgl.add_edges(graph, *graph.edges())
    expected = propagate_features(csr, x, hops=2)
    for same in (graph, crowded, dgl.remove_self_loop(graph)):
        torch.testing.assert_close(propagate_features(same, x, hops=2), expected)


def test_sparse_features():
    csr = random_undirected(50, 100)
    x = torch.randn(50, 20) * (torch.rand(50, 20) < 0.2)
    expected = propagate_features(csr, x, hops=2)
    torch.testing.assert_close(propagate_features(csr, x.to_sparse_csr(), hops=2), expected)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("pooling", ["mean", "max", "min"])
def test_little_more_than_the_result_is_held_whatever_the_hops(pooling):
    nodes, width = 100_000, 128
    csr, x = random_undirected(nodes, nodes), torch.randn(nodes, width)

    def resident(field: str) -> int:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(re.findall(rf"{field}:\s+(\d+) kB", status)[0])

    propagate_features(csr, x[:, :1].contiguous(), hops=1)  # threads and libraries are there
    return_freed_memory()  # of other tests
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = resident("VmRSS")
    propagate_features(csr, x, hops=7, pooling=pooling)
    grown = (resident("VmHWM") - before) / (4 * nodes * width)
    assert 0.9 < grown < 1.6


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"hops": -1}, "hops: expected an integer from 0 on, found -1"),
        ({"hops": 1.5}, "hops: expected an integer from 0 on, found 1.5"),
        ({"hops": "2"}, "hops: expected an integer from 0 on, found '2'"),
        ({"hops": True}, "hops: expected an integer from 0 on, found True"),
        ({"hops": 1, "self_loop_weight": "1"}, "self_loop_weight: expected 0 or more, found '1'"),
        ({"hops": 1, "self_loop_weight": -1.0}, "self_loop_weight: expected 0 or more, found -1"),
        ({"hops": 1, "pooling": "sum"}, "pooling: expected mean, max, min or last, found 'sum'"),
    ],
)
def test_bad_settings(arguments, told):
    with pytest.raises(InputError, match=told):
        propagate_features(random_undirected(5, 5), torch.randn(5, 2), **arguments)


@pytest.mark.parametrize(
    ("features", "told"),
    [
        (torch.randn(4, 2), r"expected shape \[5, D\], found \[4, 2\]"),
        (torch.randn(5), r"expected shape \[N, D\], N and D at least 1, found \[5\]"),
        (torch.randn(()), r"expected shape \[N, D\], N and D at least 1, found \[\]"),
        (torch.randn(1, 5, 2), r"expected shape \[N, D\], .* found \[1, 5, 2\]"),
        (torch.randn(5, 0), r"expected shape \[N, D\], .* found \[5, 0\]"),
        ([[1.0, 2.0], [3.0]], r"expected numbers \[N, D\], found rows of several lengths"),
        (torch.ones(5, 2, dtype=torch.long), "expected floating point, found torch.int64"),
        (torch.tensor([[0.0]] * 3 + [[float("nan")]] + [[0.0]]), "NaN or infinity in row 3"),
        (torch.tensor([[0.0]] * 2 + [[float("inf")]] + [[0.0]] * 2), "NaN or infinity in row 2"),
    ],
)
def test_bad_features(features, told):
    with pytest.raises(InputError, match=told):
        propagate_features(random_undirected(5, 5), features, hops=1)


def test_integers_of_numpy_are_hops():
    csr, x = random_undirected(5, 5), torch.randn(5, 2)
    expected = propagate_features(csr, x, hops=2)
    hops: Any = np.int64(2)
    assert torch.equal(propagate_features(csr, x, hops=hops), expected)


def test_large_finite_features_pass():
    csr = random_undirected(5, 5)
    x = torch.full((5, 2), 3e38)
    assert propagate_features(csr, x, hops=0).isfinite().all()
