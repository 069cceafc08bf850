"""Nodes that join a graph: against adding them and propagating, and by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.propagation.equation import Propagation
from infgrand_dgl.propagation.joining import Joined

POOLINGS = ["mean", "max", "min", "last", None]


def random_graph(N: int, edges: int, weighted: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Edges `[E, 2]`, parallel ones and loops among them; one node is a hub, the last ones alone."""
    ends = np.random.randint(max(1, N - 3), size=(edges, 2))
    ends[: N // 2, 0] = 0
    return ends, np.random.rand(edges) + 0.1 if weighted else None


def newcomers(N: int, n: int) -> np.ndarray:
    """Edges of n new nodes: with the hub, with each other, parallel ones; the last has none."""
    one = np.random.randint(N, N + max(1, n - 1), size=3 * n)
    other = np.concatenate([np.zeros(n, int), np.random.randint(N + max(1, n - 1), size=2 * n)])
    edges = np.stack([one, other], axis=1)
    edges[::2] = edges[::2, ::-1]
    return edges


def csr_of(ends: np.ndarray, N: int, weights: np.ndarray | None) -> CSRGraph:
    return CSRGraph.from_edges(ends[:, 0], ends[:, 1], N, weights)


def with_edges(ends, values, edges, more, nodes: int) -> CSRGraph:
    weights = None if values is None else np.concatenate([values, more])
    return csr_of(np.concatenate([ends, edges]), nodes, weights)


@pytest.mark.parametrize("hops", [0, 1, 2, 3])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("w", [0.0, 1.0, 2.0])
def test_exact_is_adding_them_and_propagating(hops, pooling, weighted, w):
    N, n, D = 60, 8, 5
    ends, values = random_graph(N, 150, weighted)
    edges = newcomers(N, n)
    more = np.random.rand(len(edges)) + 0.1 if weighted else None
    x = torch.randn(N + n, D)
    propagation = Propagation(hops, w, pooling)

    whole = with_edges(ends, values, edges, more, N + n)
    expected = propagation.of(whole, x)
    joined = Joined.of(
        csr_of(ends, N, values),
        lambda ids: x[ids],
        x[N:],
        torch.from_numpy(edges),
        None if more is None else torch.from_numpy(more).float(),
    )
    found = joined.exact(propagation, joined.ids)
    torch.testing.assert_close(found, expected[N:], rtol=1e-5, atol=1e-5)
    some = torch.randperm(N + n)[:20]  # known ones are changed by newcomers, too
    torch.testing.assert_close(
        joined.exact(propagation, some), expected[some], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("w", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_cached_takes_neighbours_as_they_were(pooling, weighted, w):
    """The formula with loops over edges, in float64."""
    N, n, D, P = 40, 5, 3, 3
    ends, values = random_graph(N, 100, weighted)
    known, x = csr_of(ends, N, values), torch.randn(N + n, D)
    edges = newcomers(N, n)
    more = np.random.rand(len(edges)) + 0.1 if weighted else None
    propagation = Propagation(P, w, pooling)
    stored = Propagation(P - 1, w, None).of(known, x[:N])
    joined = Joined.of(
        known,
        lambda ids: x[ids],
        x[N:],
        torch.from_numpy(edges),
        None if more is None else torch.from_numpy(more).float(),
    )
    whole = with_edges(ends, values, edges, more, N + n)
    a = np.zeros((N + n, N + n))
    rows = np.repeat(np.arange(N + n), whole.row_lengths.numpy())
    a[rows, whole.indices] = 1 if whole.weights is None else whole.weights
    np.fill_diagonal(a, w)
    s = a.sum(axis=1)
    steps, now = [x[N:].double().numpy()], x.double().numpy()
    for k in range(P):
        now = np.concatenate([stored[:, k * D : (k + 1) * D].double().numpy(), steps[-1]])
        steps.append(
            np.stack(
                [
                    sum(
                        (a[i, j] / np.sqrt(s[i] * s[j]) * now[j] for j in np.flatnonzero(a[i])),
                        np.zeros(D),
                    )
                    for i in range(N, N + n)
                ]
            )
        )
    expected = {
        "mean": lambda: np.mean(steps, axis=0),
        "max": lambda: np.max(steps, axis=0),
        "min": lambda: np.min(steps, axis=0),
        "last": lambda: steps[-1],
        None: lambda: np.concatenate(steps, axis=1),
    }[pooling]()
    found = joined.cached(propagation, lambda ids: stored[ids])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hops", [0, 1])
def test_cached_is_exact_of_one_hop(hops):
    N, n = 50, 6
    ends, _ = random_graph(N, 120, False)
    known, x, edges = csr_of(ends, N, None), torch.randn(N + n, 4), newcomers(N, n)
    joined = Joined.of(known, lambda ids: x[ids], x[N:], torch.from_numpy(edges))
    propagation = Propagation(hops, 1.0, "mean")
    exact = joined.exact(propagation, joined.ids)
    stored = Propagation(max(0, hops - 1), 1.0, None).of(known, x[:N])
    torch.testing.assert_close(joined.cached(propagation, lambda ids: stored[ids]), exact)


@pytest.mark.parametrize("given", [None, torch.ones(3)])
def test_edges_of_weight_one_in_a_weighted_graph(given):
    """Without weights an edge that is listed twice is one; with them it has both."""
    known = csr_of(np.array([[0, 1]]), 2, np.array([3.0]))
    edges = torch.tensor([[2, 0], [2, 0], [2, 1]])
    x = torch.eye(3)
    joined = Joined.of(known, lambda ids: x[ids], x[2:], edges, given)
    found = joined.exact(Propagation(1, 1.0, "last"), joined.ids)[0]
    a = 1.0 if given is None else 2.0
    s = torch.tensor([1 + 3 + a, 1 + 3 + 1, 1 + a + 1])
    torch.testing.assert_close(found, torch.tensor([a, 1, 1]) / (s * s[2]).sqrt())


def test_nothing_beyond_the_surroundings_is_read():
    """On a path 0-1-...-99 a newcomer at its end sees P nodes of it, and no other row is asked for."""
    N, asked = 100, []
    known = csr_of(np.stack([np.arange(N - 1), np.arange(1, N)], axis=1), N, None)
    x = torch.randn(N + 1, 2)

    def features(ids):
        asked.extend(ids.tolist())
        return x[ids]

    joined = Joined.of(known, features, x[N:], torch.tensor([[N, N - 1]]))
    joined.exact(Propagation(3, 1.0, "mean"), joined.ids)
    assert sorted(asked) == [97, 98, 99]


def test_without_edges_a_newcomer_has_itself():
    known, x = csr_of(random_graph(20, 40, False)[0], 20, None), torch.randn(4, 3)
    none = torch.empty(0, 2, dtype=torch.long)
    joined = Joined.of(known, lambda ids: torch.zeros(len(ids), 3), x, none)
    torch.testing.assert_close(joined.exact(Propagation(2, 1.0, "mean"), joined.ids), x)
    alone = joined.exact(Propagation(2, 0.0, None), joined.ids)
    torch.testing.assert_close(alone, torch.cat([x, 0 * x, 0 * x], dim=1))
    nobody = replace(joined, newcomers=x[:0])
    assert nobody.exact(Propagation(2, 1.0, "mean"), nobody.ids).shape == (0, 3)


@pytest.mark.parametrize(
    ("edges", "weights", "message"),
    [
        ([[20, 22]], None, "edges: expected ids 0 to 19 of known nodes, 20 to 21 .* found 22"),
        ([[20, -1]], None, "found -1"),
        ([[20, 1], [3, 4]], None, r"expected a new node in each, 20 or above; found \[3, 4\]"),
        ([20, 1], None, r"edges: expected ids, int64 \[m, 2\], found int64 \[2\]"),
        ([[20.0, 1.0]], None, r"found float32 \[1, 2\]"),
        ([[20, 1]], [2.0], "weights: the graph that the nodes join has none"),
    ],
)
def test_bad_edges(edges, weights, message):
    known = csr_of(random_graph(20, 40, False)[0], 20, None)
    given = None if weights is None else torch.tensor(weights)
    with pytest.raises(InputError, match=message):
        Joined.of(known, lambda ids: ids, torch.randn(2, 3), torch.tensor(edges), given)


@pytest.mark.parametrize("weights", [[-1.0], [float("nan")], [1.0, 2.0]])
def test_bad_weights(weights):
    known = csr_of(*random_graph(20, 40, True)[:1], 20, np.random.rand(40) + 0.1)
    with pytest.raises(InputError, match="weight"):
        Joined.of(
            known,
            lambda ids: ids,
            torch.randn(2, 3),
            torch.tensor([[20, 1]]),
            torch.tensor(weights),
        )
