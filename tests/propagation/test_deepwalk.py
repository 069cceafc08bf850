"""Skip-gram over walks: its loss by hand, its gradients, and what its positions tell."""

from math import log

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from infgrand_dgl import InputError
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.propagation import deepwalk as module
from infgrand_dgl.propagation.deepwalk import NEGATIVES, DeepWalk, Table, gradients, loss
from infgrand_dgl.propagation.walks import Walker
from infgrand_dgl.system.memory import Budget
from infgrand_dgl.system.runtime import Runtime
from tests.conftest import random_undirected

HERE = Runtime(torch.device("cpu"), Budget(1 << 40, 1 << 40))


def walked(**changes):
    return DeepWalk(**({"dimension": 8, "walk_length": 12, "walks": 3, "window": 3,
                        "iterations": 1} | changes))  # fmt: skip


def test_window_by_hand():
    """Width 2 of 2 always has the neighbour, and in half of the cases the next but one."""
    W = walked(walk_length=4, window=2).weights()
    expected = [[0, 1, 0.5, 0], [1, 0, 1, 0.5], [0.5, 1, 0, 1], [0, 0.5, 1, 0]]
    assert W.tolist() == expected


def test_loss_by_hand():
    """Two nodes on one walk, c = 0: two pairs, each -log 1/2 and k times as much of the draws."""
    c, o, v = torch.zeros(1, 2, 3), torch.randn(1, 2, 3), torch.randn(4, 3)
    W = walked(walk_length=2, window=1).weights()
    assert float(loss(c, o, v, W)) == pytest.approx(2 * (1 + NEGATIVES) * log(2))


def test_loss_is_the_sum_over_pairs(device):
    b, L, K, d, w = 3, 7, 5, 4, 2
    c, o, v = torch.randn(b, L, d), torch.randn(b, L, d), torch.randn(K, d)
    total = 0.0
    for c_of, o_of in zip(c.double().numpy(), o.double().numpy(), strict=True):
        for i in range(L):
            for j in range(max(0, i - w), min(L, i + w + 1)):
                if i != j:
                    W = (w - abs(i - j) + 1) / w
                    near = np.log1p(np.exp(-c_of[i] @ o_of[j]))
                    far = np.mean([np.log1p(np.exp(c_of[i] @ x)) for x in v.double().numpy()])
                    total += W * (near + NEGATIVES * far)
    window = walked(walk_length=L, window=w).weights().to(device)
    found = loss(c.to(device), o.to(device), v.to(device), window)
    assert float(found) == pytest.approx(total, rel=1e-5)


def test_gradients_are_those_of_the_loss(device):
    c, o, v = (torch.randn(n, 5).double().requires_grad_() for n in (18, 18, 4))
    window = walked(walk_length=6).weights()
    shaped = c.view(3, 6, 5), o.view(3, 6, 5), v
    expected = torch.autograd.grad(loss(*shaped, window.double()), shaped)
    c32, o32, v32 = (x.detach().float().to(device) for x in shaped)
    for found, exact in zip(gradients(c32, o32, v32, window.to(device)), expected, strict=True):
        torch.testing.assert_close(found.cpu(), exact.float(), rtol=1e-4, atol=1e-5)


def test_steps_of_rows_that_occur_several_times(device):
    """One step along the sum; squares add up from step to step."""
    values, N = torch.randn(6, 3), 6
    table, expected, squares = (
        Table(values.clone(), torch.device(device)),
        values.double(),
        [0.0] * N,
    )
    for _ in range(3):
        rows, g = torch.randint(N, (10,)), torch.randn(10, 3)
        table.step(rows.to(device), g.to(device))
        for i in set(rows.tolist()):
            total = g[rows == i].double().sum(dim=0)
            squares[i] += float((total**2).mean())
            expected[i] -= module.LR * total / squares[i] ** 0.5
    torch.testing.assert_close(table.values.cpu(), expected.float(), rtol=1e-4, atol=1e-5)


def test_every_start_has_its_walks(monkeypatch):
    monkeypatch.setattr(module, "BATCHES", 2)
    csr, d = random_undirected(60, 150), walked(walks=2)
    walker = Walker.of(csr)
    starts = (walker.sums > 0).nonzero().squeeze(1)
    batches = list(d._batches(walker, starts, 7, torch.Generator()))
    assert max(map(len, batches)) == 7 and {b.shape[1] for b in batches} == {12}
    firsts = torch.cat([b[:, 0] for b in batches]).sort().values
    assert torch.equal(firsts, starts.repeat_interleave(2))


def two_cliques(size=12):
    """Of that size each, joined by one edge, and a node without edges."""
    one = np.array([(i, j) for i in range(size) for j in range(i)])
    source, target = np.concatenate([one, one + size, [[0, size]]]).T
    return CSRGraph.from_edges(source, target, 2 * size + 1)


def test_positions_tell_where_a_node_is(device):
    """Of one clique they are more alike than of two."""
    runtime = Runtime(torch.device(device), Budget(1 << 40, 1 << 40))
    p = walked(iterations=20).of(two_cliques(), 3, runtime)
    assert p.shape == (25, 8) and p.dtype == torch.float32 and p.device.type == "cpu"
    x = normalize(p[:24] - p[:24].mean(dim=0))
    cos = x @ x.T
    within = torch.block_diag(torch.ones(12, 12), torch.ones(12, 12)).bool()
    assert float(cos[within].mean()) > float(cos[~within].mean()) + 0.3
    assert p[24].tolist() == [0] * 8


def test_the_seed_alone_decides():
    csr = random_undirected(50, 120, weighted=True)
    torch.manual_seed(0)
    one = walked().of(csr, 5, HERE)
    torch.manual_seed(1)
    assert torch.equal(one, walked().of(csr, 5, HERE))
    assert not torch.equal(one, walked().of(csr, 6, HERE))


def test_without_edges():
    """0, and a graph without any is no error."""
    empty = CSRGraph.from_edges(np.empty(0, int), np.empty(0, int), 4)
    assert torch.equal(walked().of(empty, 0, HERE), torch.zeros(4, 8))


def test_long_walks_are_fewer_at_once(monkeypatch):
    """Their squares are bounded."""
    seen = []
    monkeypatch.setattr(module, "SQUARES", 1000)
    monkeypatch.setattr(module, "_step", lambda c, o, walks, *rest: seen.append(len(walks)))
    walked(walk_length=20).of(two_cliques(), 0, HERE)
    assert set(seen) == {2} and len(seen) == 3 * 24 // 2


def test_too_little_memory():
    with pytest.raises(InputError, match="resources.memory: .* to find positions of 25 nodes"):
        walked().of(two_cliques(), 0, Runtime(torch.device("cpu"), Budget(1)))
