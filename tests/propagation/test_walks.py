"""Random walks, against NetworkX and what probability says of them."""

from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
import torch
from scipy.stats import chi2

from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.propagation.walks import Walker
from tests.conftest import dense_adjacency, random_undirected

M, LENGTH = 400, 300  # independent walks


def generator():
    return torch.Generator().manual_seed(int(torch.randint(1 << 30, ())))


def graph_and_weights(weighted):
    """A graph, and its weights without self-loops, float64 `[N, N]`."""
    csr = random_undirected(40, 90, weighted=weighted)
    return csr, dense_adjacency(csr).fill_diagonal_(0)


def stationary_walks(csr, A):
    starts = torch.multinomial(A.sum(dim=1), M, replacement=True, generator=generator())
    return Walker.of(csr).walks(starts, LENGTH, generator())


@pytest.mark.parametrize("weighted", [False, True])
def test_every_step_is_an_edge(weighted):
    csr, A = graph_and_weights(weighted)
    graph = nx.from_numpy_array(A.numpy())
    starts = A.sum(dim=1).nonzero().squeeze(1)
    walks = Walker.of(csr).walks(starts, 20, generator())
    assert walks.shape == (len(starts), 20) and torch.equal(walks[:, 0], starts)
    assert all(graph.has_edge(*step) for walk in walks.tolist() for step in pairwise(walk))
    assert not any(i == j for walk in walks.tolist() for i, j in pairwise(walk))


@pytest.mark.parametrize("weighted", [False, True])
def test_visits_are_those_of_the_stationary_distribution(weighted):
    r"""Walks that start in $\pi_v = d_v / \sum d$ visit v that often in the mean. They are
    independent: the mean over M of them is within 5.5 of its standard errors, which a t of M - 1
    degrees of freedom leaves with a probability below 1e-7, times 40 nodes."""
    csr, A = graph_and_weights(weighted)
    walks = stationary_walks(csr, A)
    shares = torch.stack([(walks == v).double().mean(dim=1) for v in range(40)], dim=1)
    expected = A.sum(dim=1) / A.sum()
    error = shares.std(dim=0) / M**0.5
    assert bool(((shares.mean(dim=0) - expected).abs() <= 5.5 * error).all())
    unlike = torch.full_like(expected, 1 / 40)
    assert not bool(((shares.mean(dim=0) - unlike).abs() <= 5.5 * error).all())


@pytest.mark.parametrize("weighted", [False, True])
def test_transitions_are_proportional_to_weights(weighted):
    """Pearson's chi-square of the steps out of every node; p above 1e-7."""
    csr, A = graph_and_weights(weighted)
    walks = stationary_walks(csr, A)
    counts = torch.zeros_like(A)
    steps = walks[:, :-1].flatten(), walks[:, 1:].flatten()
    counts.index_put_(steps, torch.ones(len(steps[0]), dtype=torch.float64), accumulate=True)

    def p_value(weights):
        P = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-30)
        expected = counts.sum(dim=1, keepdim=True) * P
        possible = expected > 0
        statistic = ((counts - expected) ** 2 / expected)[possible].sum()
        freedom = int(possible.sum()) - int(possible.any(dim=1).sum())
        return chi2.sf(float(statistic), freedom)

    assert p_value(A) > 1e-7
    assert p_value(A * torch.rand(40, 40, dtype=torch.float64)) < 1e-7


def test_weights_of_any_size():
    """Rows of tiny weights keep their proportions beside rows of huge ones: 0 - 1 - 2, 3 - 4 - 5."""
    weights = np.array([3e-20, 1e-20, 3e20, 1e20], dtype=np.float32)
    csr = CSRGraph.from_edges(np.array([0, 1, 3, 4]), np.array([1, 2, 4, 5]), 6, weights)
    walks = Walker.of(csr).walks(torch.tensor([1, 4]).repeat(20_000), 2, generator())
    for centre in (1, 4):
        ahead = (walks[walks[:, 0] == centre, 1] == centre - 1).double().mean()
        assert abs(float(ahead) - 0.75) < 6 * (0.75 * 0.25 / 20_000) ** 0.5


def test_same_seed_same_walks():
    csr = random_undirected(30, 80)
    starts = (csr.row_lengths > 1).nonzero().squeeze(1)
    one, two, other = (
        Walker.of(csr).walks(starts, 9, torch.Generator().manual_seed(s)) for s in (4, 4, 5)
    )
    assert torch.equal(one, two) and not torch.equal(one, other)
