"""Agreement, curvature, reach of labels and ReNode: their formulas written out, and by hand."""

from math import cos, exp, pi, sqrt
from typing import Any

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError, influence_scores
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import load_dataset
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.influence.compute import influence
from infgrand_dgl.influence.measure import Inputs
from infgrand_dgl.influence.measures.agreement import agreement
from infgrand_dgl.influence.measures.curvature import curvature, forman
from infgrand_dgl.influence.measures.label_reach import label_reach
from infgrand_dgl.influence.measures.renode import conflict, renode
from infgrand_dgl.registry import measures
from infgrand_dgl.system.runtime import Runtime
from tests.conftest import dense_adjacency, random_undirected

CLIQUES = [(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)]
KITE = [(0, 1), (0, 2), (1, 2), (2, 3)]  # a triangle with a tail
RAW: dict[str, Any] = {"normalization": "none"}


def graph(edges, nodes, device, weights=None):
    source, target = np.array(edges).T
    return CSRGraph.from_edges(source, target, nodes, weights).to(device)


def inputs(csr, w=1.0, **options: Any):
    device = csr.indptr.device
    given: dict[str, Any] = {
        name: v.to(device) if torch.is_tensor(v) else v for name, v in options.items()
    }
    return Inputs(csr, 2, w, "none", torch.eye(csr.num_rows, device=device), **given)


def labels_of(nodes, classes, share=0.3):
    """Of some nodes, each class at least once; -1 of others."""
    labels = torch.randint(classes, (nodes,))
    labels[torch.rand(nodes) > share] = -1
    labels[torch.randperm(nodes)[:classes]] = torch.arange(classes)
    return labels


def off(found, expected):
    """The largest difference, by 1 + what is expected."""
    return float(((found.cpu() - expected).abs() / (1 + expected.abs())).max())


def dense_ppr(csr, w):
    """a (I - (1 - a) S^-1/2 (A + wI) S^-1/2)^-1 with the loops of the graph taken as w."""
    A = dense_adjacency(csr)
    A += (w - 1) * torch.eye(len(A))
    S = A.sum(dim=1)
    scale = torch.where(S > 0, S.rsqrt(), 0.0)
    return 0.15 * torch.linalg.inv(torch.eye(len(A)) - 0.85 * scale[:, None] * A * scale)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [3, 21])
def test_agreement_is_its_formula(weighted, classes, device):
    csr = random_undirected(40, 90, device, weighted)
    z = 3 * torch.randn(40, classes)
    A, q = dense_adjacency(csr), z.double().softmax(dim=1)
    expected = torch.stack([((q[i] * q).sum(dim=1) * A[i] / A[i].sum()).sum() for i in range(40)])
    assert off(agreement(inputs(csr, logits=z)), expected) < 1e-9
    assert off(agreement(inputs(csr, logits=z.half())), expected) < 1e-2


def test_agreement_by_hand(device):
    """A path: sure of class 0, undecided, sure of class 1; each row is a mean with itself."""
    csr = graph([(0, 1), (1, 2)], 3, device)
    z = torch.tensor([[1e3, 0.0], [0.0, 0.0], [0.0, 1e3]])
    found = influence_scores(csr, torch.eye(3, device=device), measure="agreement", logits=z, **RAW)
    assert found.tolist() == pytest.approx([(1 + 0.5) / 2, 0.5, (1 + 0.5) / 2])
    weighted = graph([(0, 1), (1, 2)], 3, device, np.array([3.0, 1.0]))
    assert agreement(inputs(weighted, logits=z)).tolist() == pytest.approx(
        [(1 + 3 * 0.5) / 4, 0.5, (1 + 0.5) / 2]
    )


def test_agreement_of_several_labels(device):
    """One label of logit z is the two classes [0, z]; several have the mean of theirs."""
    csr, z = random_undirected(30, 60, device), 3 * torch.randn(30, 18)
    alone = [
        agreement(inputs(csr, logits=torch.stack([torch.zeros(30), column], dim=1)))
        for column in z.T
    ]
    found = agreement(inputs(csr, logits=z, task="multilabel"))
    assert off(found, torch.stack(alone).mean(dim=0).cpu()) < 1e-9


@pytest.mark.parametrize("weighted", [False, True])
def test_curvature_is_its_formula(weighted, device):
    """Edge by edge: 4 - d_i - d_j + 3 times their common neighbours."""
    csr = random_undirected(60, 150, device, weighted)
    A = (dense_adjacency(csr) > 0).double() - torch.eye(60, dtype=torch.float64)
    d = A.sum(dim=1)
    kappa = torch.zeros(60, dtype=torch.float64)
    for i in range(60):
        of_edges = [4 - d[i] - d[j] + 3 * (A[i] * A[j]).sum() for j in A[i].nonzero()[:, 0]]
        kappa[i] = sum(of_edges) / len(of_edges) if of_edges else 0
    assert off(forman(inputs(csr)), kappa) < 1e-9
    away = (kappa - kappa[d > 0].mean()) / kappa[d > 0].std(correction=0)
    alpha = torch.where(d > 0, (-away.clamp(-3, 3)).exp(), 1.0)
    assert off(curvature(inputs(csr)), alpha / alpha.mean()) < 1e-9


def test_curvature_by_hand(device):
    """Edges of the kite have 3, 2, 2 and 0; of equal curvature all weigh 1."""
    csr = graph(KITE, 5, device)
    kappa = [2.5, 2.5, 4 / 3, 0, 0]
    assert forman(inputs(csr)).tolist() == pytest.approx(kappa)
    mean = sum(kappa) / 4
    deviation = sqrt(sum((k - mean) ** 2 for k in kappa[:4]) / 4)
    alpha = [exp(-(k - mean) / deviation) for k in kappa[:4]] + [1.0]
    found = influence_scores(csr, torch.eye(5, device=device), measure="curvature")
    assert found.tolist() == pytest.approx([a / (sum(alpha) / 5) for a in alpha], rel=1e-5)
    assert forman(inputs(graph(CLIQUES, 6, device))).tolist() == [3] * 6
    assert curvature(inputs(graph(CLIQUES, 6, device))).tolist() == [1] * 6
    assert curvature(inputs(graph([(0, 0)], 2, device))).tolist() == [1, 1]


def test_leaves_of_a_hub_are_not_all_there_is(device):
    """One star of 20 leaves among 3000 triangles: its curvature is 40 deviations below."""
    cliques = np.arange(9000).reshape(-1, 3)
    edges = np.concatenate([cliques[:, [0, 1]], cliques[:, [1, 2]], cliques[:, [0, 2]]])
    star = np.stack([np.full(20, 9000), np.arange(9001, 9021)], axis=1)
    alpha = curvature(inputs(graph(np.concatenate([edges, star]), 9021, device)))
    assert float(alpha.mean()) == pytest.approx(1)
    assert float(alpha.max()) < 25 and float(alpha[9000:].sum() / alpha.sum()) < 0.1


@pytest.mark.parametrize("w", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_label_reach_is_its_formula(w, weighted, device):
    csr, labels = random_undirected(50, 90, device, weighted), labels_of(50, 3)
    expected = dense_ppr(csr, w)[labels >= 0].sum(dim=0)
    assert off(label_reach(inputs(csr, w, labels=labels)), expected) < 1e-8


def test_label_reach_by_hand(device):
    """In a clique of three a walk of one label is with chance 1/3 + a·2/3 at it, else the rest."""
    labels = torch.tensor([1, -1, -1, 0, 0, -1])
    found = influence_scores(
        graph(CLIQUES, 6, device),
        torch.eye(6, device=device),
        measure="label-reach",
        labels=labels,
        **RAW,
    )
    own, other = 1 / 3 + 0.15 * 2 / 3, 1 / 3 - 0.15 / 3
    expected = [own, other, other, own + other, own + other, 2 * other]
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


def test_label_reach_of_other_tasks(device):
    """Who has a label counts, not which."""
    csr = random_undirected(30, 50, device)
    y = torch.full((30, 2), torch.nan)
    y[[3, 8]] = torch.tensor([[1.0, torch.nan], [0.0, 1.0]])
    classes = torch.full((30,), -1)
    classes[[3, 8]] = 0
    found = influence_scores(
        csr, torch.eye(30, device=device), measure="label-reach", labels=y, task="multilabel"
    )
    expected = influence_scores(
        csr, torch.eye(30, device=device), measure="label-reach", labels=classes
    )
    assert torch.equal(found, expected)


@pytest.mark.parametrize("w", [1.0, 2.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_renode_is_its_formula(w, weighted, device):
    """Sums over nodes, classes and labels as the paper writes them."""
    csr, C = random_undirected(40, 70, device, weighted), 4
    labels, q = labels_of(40, C), torch.randn(40, C).double().softmax(dim=1)
    labels[labels == 2] = -1  # a class without labels
    ppr = dense_ppr(csr, w)
    reach = torch.zeros(C, 40, dtype=torch.float64)
    for c in set(labels.tolist()) - {-1}:
        reach[c] = ppr[labels == c].mean(dim=0)
    T = torch.zeros(40, dtype=torch.float64)
    for v in range(40):
        chances = {int(labels[v]): 1.0} if labels[v] >= 0 else dict(enumerate(q[v]))
        for y, chance in chances.items():
            others = sum(reach[c] for c in range(C) if c != y)
            T[v] += chance * (ppr[v] * others).sum()
    given = inputs(csr, w, labels=labels, logits=q.log())
    assert off(conflict(given), T) < 1e-8
    train = (labels >= 0).nonzero()[:, 0].tolist()
    n, ranked = len(train), sorted(T[train].tolist())
    found = renode(given).tolist()
    for v in range(40):
        first, last = (sum(t < float(T[v]) + margin for t in ranked) for margin in (-1e-9, 1e-9))
        most, least = (0.5 + (1 + cos(pi * min(n - 1, r) / (n - 1))) / 2 for r in (first, last))
        assert least - 1e-9 <= found[v] <= most + 1e-9


def test_renode_by_hand(device):
    """Node 1 is of class 1 among labels of class 0, in the other clique all are of class 1."""
    csr = graph(CLIQUES, 6, device)
    labels = torch.tensor([0, 1, -1, 1, 1, -1])
    z = torch.tensor([[0.0, 0.0]] * 5 + [[-1e3, 1e3]])
    a, b = 1 / 3 + 0.15 * 2 / 3, 1 / 3 - 0.15 / 3
    squares = a * a + 2 * b * b, 2 * a * b + b * b  # (Π²) of a node with itself, with another
    # Of class 0 node 0 alone has a label, of class 1 three.
    of_0 = squares[1] / 3, squares[1], None  # what nodes 0 and 1 have of the other class
    T = [of_0[0], of_0[1], (squares[1] + squares[1] / 3) / 2, 0, 0, 0]
    given = inputs(csr, labels=labels, logits=z)
    assert conflict(given).tolist() == pytest.approx(T, abs=1e-9)
    weights = [0.5 + (1 + cos(pi * rank / 3)) / 2 for rank in range(4)]
    found = influence_scores(
        csr, torch.eye(6, device=device), measure="renode", labels=labels, logits=z
    )
    # Nodes 3 and 4 are equal and first, 5 is as they are, 2 between nodes 0 and 1.
    expected = [weights[2], weights[3], weights[3], weights[0], weights[0], weights[0]]
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


def test_labels_are_asked_for():
    csr, x = random_undirected(6, 9), torch.eye(6)
    z, none = torch.zeros(6, 2), torch.full((6,), -1)
    for measure in [name for name, m in measures.items() if m.needs_labels]:
        options: dict[str, Any] = {"measure": measure, "logits": z}
        with pytest.raises(InputError, match=f"measure: {measure} needs labels of the nodes"):
            influence_scores(csr, x, **options)
        with pytest.raises(InputError, match=r"labels: expected shape \[6\], found \[5\]"):
            influence_scores(csr, x, labels=none[:5], **options)
        with pytest.raises(InputError, match="labels: expected those of the nodes that train, f"):
            influence_scores(csr, x, labels=none, **options)
    told = "labels: expected classes 0 to 1, of which the logits are; found 2"
    with pytest.raises(InputError, match=told):
        influence_scores(csr, x, measure="renode", logits=z, labels=torch.tensor([0, 1, 2] * 2))
    with pytest.raises(InputError, match="renode is for classification, not multilabel"):
        influence_scores(csr, x, measure="renode", logits=z, labels=z, task="multilabel")


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
@pytest.mark.parametrize("measure", ["label-reach", "renode"])
def test_labels_of_other_nodes_have_no_part(measure, setting, tiny):
    """Those of validation and test may be anything."""
    config = load_config(tiny, [f"influence.measure={measure}", f"data.setting={setting}"])
    dataset, logits = load_dataset(config), torch.randn(300, 3)
    found = influence(config, dataset, Runtime.on("cpu"), logits=logits).scores
    kept = dataset.labels[dataset.train].clone()
    dataset.labels[:] = torch.randint(3, (300,))
    dataset.labels[dataset.train] = kept
    dataset.__dict__.pop("_observed_view", None)
    again = influence(config, dataset, Runtime.on("cpu"), logits=logits).scores
    torch.testing.assert_close(found, again, equal_nan=True)
    moved = (kept + 1) % 3  # theirs have
    dataset.labels[dataset.train[:20]] = moved[:20]
    dataset.__dict__.pop("_observed_view", None)
    other = influence(config, dataset, Runtime.on("cpu"), logits=logits).scores
    assert torch.equal(found.nan_to_num(), other.nan_to_num()) == (measure == "label-reach")
