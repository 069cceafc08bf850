"""Measures of influence on graphs small enough for a hand, and against other people's code."""

from dataclasses import replace
from math import log, sqrt
from typing import Any, get_args

import networkx
import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from infgrand_dgl import InputError, influence_scores
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import load_dataset
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.influence.compute import influence
from infgrand_dgl.influence.measure import Inputs, Normalization, normalized
from infgrand_dgl.influence.measures.entropy import entropy
from infgrand_dgl.influence.measures.jacobian import jacobian
from infgrand_dgl.influence.measures.pagerank import pagerank
from infgrand_dgl.ops import propagate
from infgrand_dgl.registry import measures
from infgrand_dgl.system.runtime import Runtime
from tests.conftest import random_undirected

# Edges and the number of nodes; the last node of "isolated" has no neighbour.
GRAPHS: dict[str, tuple[list[tuple[int, int]], int]] = {
    "path": ([(0, 1), (1, 2)], 3),
    "star": ([(0, 1), (0, 2), (0, 3)], 4),
    "two cliques": ([(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)], 6),
    "isolated": ([(0, 1)], 3),
}


def graph(name, device):
    edges, nodes = GRAPHS[name]
    source, target = np.array(edges).T
    return CSRGraph.from_edges(source, target, nodes).to(device)


def scores(name, measure, device, normalization: Normalization = "none", **options):
    csr = graph(name, device)
    x = options.pop("features", torch.eye(csr.num_rows))
    found = influence_scores(
        csr, x.to(device), measure=measure, normalization=normalization, **options
    )
    assert found.dtype == torch.float32
    return found.cpu().double().tolist()


def inputs(csr, hops=2, self_loop_weight=1.0, **options):
    return Inputs(csr, hops, self_loop_weight, "none", torch.eye(csr.num_rows), **options)


# With self-loops an end of the path has degree 2, its middle 3; the hub 4, a leaf 2.
END, MIDDLE = 1 / 2 + 1 / sqrt(6), 1 / 3 + 2 / sqrt(6)
HUB, LEAF = 1 / 4 + 3 / sqrt(8), 1 / 2 + 1 / sqrt(8)


@pytest.mark.parametrize(
    ("name", "hops", "expected"),
    [
        ("path", 0, [1, 1, 1]),
        ("path", 1, [END, MIDDLE, END]),
        ("path", 2, [END / 2 + MIDDLE / sqrt(6), MIDDLE / 3 + 2 * END / sqrt(6), None]),
        ("star", 1, [HUB, LEAF, LEAF, LEAF]),
        ("two cliques", 1, [1] * 6),
        ("two cliques", 3, [1] * 6),
        ("isolated", 2, [1, 1, 1]),
    ],
)
def test_jacobian_by_hand(name, hops, expected, device):
    found = scores(name, "jacobian", device, hops=hops)
    expected = [found[0] if e is None else e for e in expected]
    assert found == pytest.approx(expected, rel=1e-6)


def test_jacobian_with_two_self_loops(device):
    """The path with w = 2: degrees 3, 4, 3."""
    end, middle = 2 / 3 + 1 / sqrt(12), 2 / 4 + 2 / sqrt(12)
    found = scores("path", "jacobian", device, hops=1, self_loop_weight=2.0)
    assert found == pytest.approx([end, middle, end], rel=1e-6)


@pytest.mark.parametrize("w", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("hops", [1, 2, 3])
def test_jacobian_is_the_derivative_of_propagation(hops, w):
    """Σ_j |∂x_j^(k)/∂x_i^(0)| by autograd, for one feature."""
    csr = random_undirected(25, 40)

    def last(x):
        return propagate(csr, x[:, None], hops=hops, pooling="last", self_loop_weight=w)[:, 0]

    derivative = torch.autograd.functional.jacobian(last, torch.rand(25, dtype=torch.float64))
    expected = derivative.abs().sum(dim=0)
    found = jacobian(inputs(csr, hops=hops, self_loop_weight=w))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_pagerank_by_hand(device):
    """Every node has its self-loop: the hub keeps a quarter, a leaf half of what it has."""
    d = 0.85
    # h = (1-d)/4 + d(h/4 + 3 l/2),  l = (1-d)/4 + d(h/4 + l/2)
    system = np.array([[1 - d / 4, -3 * d / 2], [-d / 4, 1 - d / 2]])
    h, leaf = np.linalg.solve(system, [(1 - d) / 4] * 2)
    assert scores("star", "pagerank", device) == pytest.approx([h, leaf, leaf, leaf], abs=1e-7)
    assert scores("two cliques", "pagerank", device) == pytest.approx([1 / 6] * 6, abs=1e-7)
    # Without neighbours a node keeps all it has: r = (1-d)/N + d r.
    assert scores("isolated", "pagerank", device) == pytest.approx([1 / 3] * 3, abs=1e-7)


def test_pagerank_is_networkx():
    csr = random_undirected(80, 150)
    rows = torch.repeat_interleave(csr.row_lengths).tolist()
    other = networkx.Graph(list(zip(rows, csr.indices.tolist(), strict=True)))
    expected = networkx.pagerank(other, alpha=0.85, tol=1e-12, max_iter=1000)
    found = pagerank(inputs(csr))
    assert float(found.sum()) == pytest.approx(1)
    assert found.tolist() == pytest.approx([expected[i] for i in range(80)], abs=1e-8)


def weighted_graph(name, weights, device="cpu"):
    edges, nodes = GRAPHS[name]
    source, target = np.array(edges).T
    return CSRGraph.from_edges(source, target, nodes, np.array(weights)).to(device)


def test_weighted_by_hand(device):
    """The path with edges of 3 and 5: 1 + 3, 1 + 3 + 5, 1 + 5."""
    csr = weighted_graph("path", [3, 5], device)
    d = [4, 9, 6]
    one, other = 3 / sqrt(4 * 9), 5 / sqrt(6 * 9)
    found = influence_scores(
        csr, torch.eye(3, device=device), measure="jacobian", normalization="none", hops=1
    )
    expected = [1 / 4 + one, 1 / 9 + one + other, 1 / 6 + other]
    assert found.tolist() == pytest.approx(expected, rel=1e-6)
    found = influence_scores(
        csr, torch.eye(3, device=device), measure="degree", normalization="none"
    )
    assert found.tolist() == [1, 2, 1]
    # r = (1 - d)/N + d A S^-1 r
    A = np.array([[1, 3, 0], [3, 1, 5], [0, 5, 1]])
    r = np.linalg.solve(np.eye(3) - 0.85 * A / d, np.full(3, 0.15 / 3))
    assert pagerank(inputs(csr)).tolist() == pytest.approx(r.tolist(), abs=1e-9)


@pytest.mark.parametrize("w", [0.0, 0.5, 2.0])
def test_weighted_jacobian_is_the_derivative_of_propagation(w, device):
    csr = random_undirected(25, 40, device, weighted=True)

    def last(x):
        return propagate(csr, x[:, None], hops=3, pooling="last", self_loop_weight=w)[:, 0]

    x = torch.rand(25, dtype=torch.float64, device=device)
    derivative = torch.autograd.functional.jacobian(last, x)
    found = jacobian(inputs(csr, hops=3, self_loop_weight=w))
    torch.testing.assert_close(found, derivative.abs().sum(dim=0), rtol=1e-9, atol=1e-9)


def test_weighted_pagerank_is_networkx():
    csr = random_undirected(80, 150, weighted=True)
    assert csr.weights is not None
    rows = torch.repeat_interleave(csr.row_lengths).tolist()
    other = networkx.Graph()
    other.add_weighted_edges_from(
        zip(rows, csr.indices.tolist(), csr.weights.tolist(), strict=True)
    )
    expected = networkx.pagerank(other, alpha=0.85, tol=1e-12, max_iter=1000)
    found = pagerank(inputs(csr))
    assert found.tolist() == pytest.approx([expected[i] for i in range(80)], abs=1e-8)


@pytest.mark.parametrize("measure", ["cosine", "degree", "jacobian", "pagerank"])
def test_weights_of_1_give_the_same_scores_and_numbers_of_nodes_do_not_count(measure, device):
    source, target = np.random.randint(0, 30, size=(2, 90))
    weights, order = np.random.uniform(0.1, 3, 90), np.random.permutation(32)
    x = torch.rand(32, 6, device=device)
    plain = CSRGraph.from_edges(source, target, 32).to(device)
    ones = replace(plain, weights=torch.ones(plain.num_edges, device=device))
    assert torch.equal(*(influence_scores(csr, x, measure=measure) for csr in (plain, ones)))
    csr = CSRGraph.from_edges(source, target, 32, weights)
    moved = CSRGraph.from_edges(order[source], order[target], 32, weights)
    there = torch.empty_like(x)
    there[order] = x
    found = influence_scores(moved.to(device), there, measure=measure)[order]
    expected = influence_scores(csr.to(device), x, measure=measure)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_degree_by_hand(device):
    assert scores("path", "degree", device) == [1, 2, 1]
    assert scores("star", "degree", device) == [3, 1, 1, 1]
    assert scores("two cliques", "degree", device) == [2] * 6
    assert scores("isolated", "degree", device) == [1, 1, 0]
    assert scores("star", "degree", device, "max") == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3])
    assert scores("star", "degree", device, "minmax") == [1, 0, 0, 0]


def test_cosine_by_hand(device):
    """One hop from unit features. Path: x^(1) of an end is (1/2, 1/√6, 0), of length √(5/12)."""
    end, middle = sqrt(1 / 4 + 1 / 6), sqrt(1 / 9 + 2 / 6)
    ends = 1 / 2 / end + 1 / sqrt(6) / middle
    expected = [ends, 2 / sqrt(6) / end + 1 / 3 / middle, ends]
    assert scores("path", "cosine", device, hops=1) == pytest.approx(expected, rel=1e-6)
    # In a clique all propagated rows are (1, 1, 1)/3: every node has 3 cosines of 1/√3.
    assert scores("two cliques", "cosine", device) == pytest.approx([sqrt(3)] * 6, rel=1e-6)
    # Both ends of the edge have (1, 1)/2, the third only itself.
    assert scores("isolated", "cosine", device) == pytest.approx([sqrt(2)] * 2 + [1], rel=1e-6)
    hub, leaf = normalize(torch.tensor([1 / 4, *[1 / sqrt(8)] * 3]), dim=0), sqrt(1 / 4 + 1 / 8)
    expected = [float(hub[0]) + 3 / sqrt(8) / leaf, *[float(hub[1]) + 1 / 2 / leaf] * 3]
    assert scores("star", "cosine", device, hops=1) == pytest.approx(expected, rel=1e-6)


LOGITS = torch.tensor([[0.0, 0.0, -torch.inf], [0.0, 0.0, 0.0], [90.0, 0.0, 0.0]]).nan_to_num(
    neginf=-1e4
)


def test_entropy_by_hand(device):
    """Two equal classes, three, and certainty."""
    found = scores("path", "entropy", device, logits=LOGITS)
    assert found == pytest.approx([log(2), log(3), 0], abs=1e-7)
    found = scores("path", "entropy", device, "max", logits=LOGITS)
    assert found == pytest.approx([log(2) / log(3), 1, 0], abs=1e-7)


def test_hybrid_by_hand(device):
    """On equal features all cosines are 1: what is left is the entropy, or its mix with 1."""
    ones = torch.ones(3, 2)
    options = {"logits": LOGITS, "features": ones}
    share = log(2) / log(3)
    assert scores("path", "hybrid", device, "max", **options) == pytest.approx([share, 1, 0])
    mixed = scores("path", "hybrid", device, "max", mix=0.25, **options)
    assert mixed == pytest.approx([0.25 + 0.75 * share, 1, 0.25])
    x = torch.rand(3, 5)
    parts = [
        np.array(scores("path", m, device, "max", features=x, logits=LOGITS))
        for m in ("cosine", "entropy")
    ]
    product = parts[0] * parts[1]
    found = scores("path", "hybrid", device, "max", features=x, logits=LOGITS)
    assert found == pytest.approx((product / product.max()).tolist(), rel=1e-5)


def test_uniform(device):
    for normalization in get_args(Normalization):
        assert scores("star", "uniform", device, normalization) == [1] * 4


def test_normalizations():
    values = torch.tensor([1.0, 2.0, 5.0])
    assert normalized(values, "none").tolist() == [1, 2, 5]
    assert normalized(values, "max").tolist() == pytest.approx([0.2, 0.4, 1])
    assert normalized(values, "minmax").tolist() == [0, 0.25, 1]
    for normalization in ("max", "minmax"):
        assert normalized(torch.zeros(3), normalization).tolist() == [1, 1, 1]


def test_entropy_of_many_rows():
    logits = torch.randn((1 << 16) + 3, 4)
    q = logits.double().softmax(dim=1)
    torch.testing.assert_close(
        entropy(inputs(random_undirected(3, 2), logits=logits)), -(q * q.log()).sum(dim=1)
    )


def test_teacher_is_asked_for():
    for measure in [name for name, measure in measures.items() if measure.needs_teacher]:
        with pytest.raises(InputError, match=f"measure: {measure} needs the teacher's logits"):
            scores("path", measure, "cpu")
        with pytest.raises(InputError, match=r"logits: expected shape \[3, C\], found \[4, 2\]"):
            scores("path", measure, "cpu", logits=torch.zeros(4, 2))
    with pytest.raises(InputError, match="measure: expected agreement, cosine, curvature, d"):
        scores("path", "fame", "cpu")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"logits": np.zeros((3, 2))}, "logits: expected a tensor, found ndarray"),
        ({"labels": [0, 1, -1]}, "labels: expected a tensor, found list"),
        ({"labels": torch.tensor([0.0, 1.0, -1.0])}, "labels: expected int64, found torch.float32"),
        ({"logits": torch.tensor([[0.0, torch.nan]] * 3)}, "logits: expected finite numbers"),
        ({"logits": torch.zeros(3)}, r"logits: expected shape \[3, C\], found \[3\]"),
        ({"measure": "hybrid", "mix": 2}, "mix: expected 0 to 1, found 2"),
        ({"measure": "hybrid", "mix": "half"}, "mix: expected 0 to 1, found 'half'"),
        ({"measure": "degree", "hops": -1}, "hops: expected an integer from 0 on, found -1"),
    ],
)
def test_bad_arguments(change, told):
    arguments: dict[str, Any] = {"measure": "renode", "logits": torch.randn(3, 2)}
    arguments |= {"labels": torch.tensor([0, 1, -1])}
    with pytest.raises(InputError, match=told):
        influence_scores(graph("path", "cpu"), torch.ones(3, 2), **{**arguments, **change})


@pytest.mark.parametrize("measure", measures)
def test_strict_sees_the_observed_graph_alone(measure, tiny):
    config = load_config(tiny, [f"influence.measure={measure}", "data.setting=inductive"])
    dataset = load_dataset(config)
    logits = torch.randn(dataset.num_nodes, 3)
    found = influence(config, dataset, Runtime.on("cpu"), logits=logits).scores
    observed, view = dataset.parts.observed, dataset.observed_view()
    assert observed is not None
    hidden = torch.ones(dataset.num_nodes, dtype=torch.bool)
    hidden[observed] = False
    assert found[hidden].isnan().all() and not found[observed].isnan().any()
    labels = torch.full_like(view.labels, -1)
    labels[view.train] = view.labels[view.train]
    alone = influence_scores(
        view.csr, view.features, measure=measure, logits=logits[observed], labels=labels
    )
    torch.testing.assert_close(found[observed], alone)


def test_entropy_of_several_labels(device):
    """Of independent labels the sum; one label of logit z is two classes [0, z]."""
    q = torch.tensor([[0.5, 0.5], [0.75, 0.5], [0.75, 0.75]]).double()
    three = 2 * log(2) - 0.75 * log(3)  # of 3/4
    options: dict[str, Any] = {"logits": q.logit(), "task": "multilabel"}
    found = scores("path", "entropy", device, **options)
    assert found == pytest.approx([2 * log(2), log(2) + three, 2 * three])
    z = 3 * torch.randn(3, 1)
    two = scores("path", "entropy", device, logits=torch.cat([torch.zeros(3, 1), z], dim=1))
    assert scores("path", "entropy", device, logits=z, task="multilabel") == pytest.approx(two)
    sure = scores("path", "entropy", device, logits=torch.full((3, 2), 1e4), task="multilabel")
    assert sure == [0, 0, 0]


@pytest.mark.parametrize("measure", ["entropy", "hybrid"])
def test_numbers_have_no_entropy(measure):
    told = f"influence.measure: {measure} is for classification and multilabel, not regression"
    with pytest.raises(InputError, match=told):
        scores("path", measure, "cpu", logits=torch.randn(3, 2), task="regression")
    assert scores("path", "degree", "cpu", task="regression") == [1, 2, 1]
