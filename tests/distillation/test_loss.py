from dataclasses import replace
from typing import Any, get_args

import pytest
import torch

from infgrand_dgl import DistillationLoss, InputError, supervised_loss
from infgrand_dgl.distillation.loss import Form
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.graph.dgl_bridge import dgl
from tests.conftest import random_csr, random_undirected

DIRECTIONS, WEIGHTINGS = ["forward", "reverse"], ["neighborhood", "edges"]


def per_edge(csr, teacher, student, influence, gamma1, gamma2, tau, kl, weighting):
    """a_ij, KL_ij and the sum of its absolute terms, of every edge, in float64: the definition."""
    i = torch.repeat_interleave(csr.row_lengths.cpu())
    j = csr.indices.cpu().long()
    p = (student.cpu().double() / tau).softmax(1)[i]
    q = (teacher.cpu().double() / tau).softmax(1)[j]
    first, second = (q, p) if kl == "forward" else (p, q)
    kl_ij = (first * (first.log() - second.log())).sum(1)
    absolute = (first * (first.log().abs() + second.log().abs())).sum(1)
    w = torch.ones(len(i)) if csr.weights is None else csr.weights.cpu()
    w = w.double()
    if weighting == "neighborhood":
        sums = torch.zeros(csr.num_rows, dtype=torch.float64).index_add_(0, i, w)
        r = w / (sums[i] * csr.num_rows)
    else:
        r = w / w.sum()
    return r * (gamma1 + gamma2 * influence.cpu().double()[j]), kl_ij, absolute


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("kl", DIRECTIONS)
@pytest.mark.parametrize("form", ["collapsed", "edge_kl"])
def test_forms_on_each_device(form, kl, weighting, weighted, device):
    csr = random_undirected(200, 600, device, weighted=weighted)
    teacher, student = torch.randn(2, 200, 6, device=device).unbind()
    influence = torch.rand(200, device=device)
    a, kl_ij, _ = per_edge(csr, teacher, student, influence, 0.8, 0.4, 1.5, kl, weighting)
    options: dict[str, Any] = {"kl": kl, "edge_weighting": weighting, "form": form}
    loss = DistillationLoss(csr, teacher, influence, gamma1=0.8, gamma2=0.4, tau=1.5, **options)
    assert float(loss(student)) == pytest.approx(float((a * kl_ij).sum()), rel=1e-5)
    assert float(loss(student.bfloat16())) == pytest.approx(float((a * kl_ij).sum()), rel=0.05)


@pytest.mark.parametrize("form", get_args(Form))
@pytest.mark.parametrize("kl", DIRECTIONS)
def test_gradcheck(kl, form):
    csr = random_csr(8, 8, 30)
    teacher = torch.randn(8, 3, dtype=torch.float64)
    for graph in (csr, replace(csr, weights=torch.rand(30) + 0.1)):
        loss = DistillationLoss(
            graph, teacher, torch.rand(8), gamma1=1, gamma2=0.5, tau=1.3, kl=kl, form=form
        )
        student = torch.randn(8, 3, dtype=torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(loss, student)


@pytest.mark.parametrize("form", get_args(Form))
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_two_weighted_nodes_by_hand(weighting, form):
    """a - b of weight 3, with self-loops: both rows sum to 4, all weights to 8."""
    graph = dgl.graph(([0, 1], [1, 0]))
    graph.edata["weight"] = torch.tensor([3.0, 3.0])
    teacher = torch.tensor([[0.0, 0.0], [1.0, -1.0]], dtype=torch.float64)
    q = torch.tensor([1.0, -1.0], dtype=torch.float64).softmax(0)
    to_uniform = float((q * (2 * q).log()).sum())  # KL(q || 1/2)
    from_uniform = float((0.5 * (0.5 / q).log()).sum())  # KL(1/2 || q)
    loss = DistillationLoss(
        graph, teacher, torch.tensor([0.5, 1.0]), gamma1=1, gamma2=2, tau=1,
        edge_weighting=weighting, form=form,
    )  # fmt: skip
    # Both weightings: 3 / 8 = 3 / (4 · 2), times 1 + 2·1 for neighbour 1, 1 + 2·0.5 for 0.
    expected = 3 / 8 * (3 * to_uniform + 2 * from_uniform)
    assert float(loss(teacher)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("form", get_args(Form))
@pytest.mark.parametrize("kl", DIRECTIONS)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_weights_that_are_equal_change_no_weighting(weighting, kl, form):
    """1: the same bits. Any other: the same value, as both weightings are shares."""
    csr = random_undirected(40, 80)
    teacher, student = torch.randn(2, 40, 5).double().unbind()
    influence = torch.rand(40)
    found = []
    for weights in (None, torch.ones(csr.num_edges), torch.full((csr.num_edges,), 3.0)):
        loss = DistillationLoss(
            replace(csr, weights=weights), teacher, influence, gamma1=0.5, gamma2=1, tau=2,
            kl=kl, edge_weighting=weighting, form=form,
        )  # fmt: skip
        found.append(loss(student))
    plain, ones, threes = found
    assert torch.equal(plain, ones)
    torch.testing.assert_close(threes, plain)


def test_two_nodes_by_hand():
    """a - b with self-loops: E = 4, every KL of equal logits is 0, the others are symmetric."""
    graph = dgl.graph(([0, 1], [1, 0]))
    teacher = torch.tensor([[0.0, 0.0], [1.0, -1.0]], dtype=torch.float64)
    q = torch.tensor([1.0, -1.0], dtype=torch.float64).softmax(0)
    to_uniform = float((q * (2 * q).log()).sum())  # KL(q || 1/2)
    from_uniform = float((0.5 * (0.5 / q).log()).sum())  # KL(1/2 || q)
    influence = torch.tensor([0.5, 1.0])
    loss = DistillationLoss(graph, teacher, influence, gamma1=1, gamma2=2, tau=1)
    # Row 0 meets neighbour 1 (weight 1 + 2·1), row 1 meets neighbour 0 (weight 1 + 2·0.5).
    expected = (3 * to_uniform + 2 * from_uniform) / 4
    assert float(loss(teacher)) == pytest.approx(expected, rel=1e-12)


def test_paper_graph_gets_its_self_loops():
    csr = random_undirected(40, 80)
    teacher, student = torch.randn(2, 40, 5).unbind()
    options: dict[str, Any] = {"gamma1": 1.0, "gamma2": 0.3, "tau": 1.0}
    expected = DistillationLoss(csr, teacher, torch.ones(40), **options)(student)
    bare = dgl.remove_self_loop(csr.to_dgl())
    found = DistillationLoss(bare, teacher, torch.ones(40), **options)(student)
    torch.testing.assert_close(found, expected)


def test_supervised_by_hand():
    logits = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    ce = torch.tensor([2.0, 1 + torch.tensor(-2.0).exp()]).log()
    found = supervised_loss(
        logits, torch.tensor([1, 0]), torch.tensor([0.5, 1.0]), delta1=0.6, delta2=0.2
    )
    expected = 0.6 * ce.mean() + 0.2 * (ce * torch.tensor([0.5, 1.0])).mean()
    torch.testing.assert_close(found, expected)


def test_supervised_leaves_out_nodes_without_label():
    logits, influence = torch.randn(30, 4, requires_grad=True), torch.rand(30)
    labels = torch.randint(-1, 4, (30,))
    known, found = labels >= 0, []
    for ids, count in ((known, None), (slice(None), int(known.sum()))):
        given = logits[ids], labels[ids], influence[ids]
        loss = supervised_loss(*given, delta1=0.6, delta2=1.9, count=count)
        found.append((loss, *torch.autograd.grad(loss, logits)))
    (expected, slope), (loss, other) = found
    torch.testing.assert_close(loss, expected)
    assert torch.equal(other, slope)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"teacher_logits": torch.randn(4, 3)}, r"teacher_logits: expected shape \[5, C\]"),
        ({"influence": torch.rand(4)}, r"influence: expected shape \[5\], found \[4\]"),
        ({"tau": 0.0}, "tau: expected a positive number, found 0"),
        ({"tau": float("nan")}, "tau: expected a positive number, found nan"),
        ({"tau": "1"}, "tau: expected a positive number, found '1'"),
        ({"gamma1": None}, "gamma1: expected 0 or more, found None"),
        ({"columns": -1}, "columns: expected an integer from 1 on, found -1"),
        ({"columns": 2.5}, "columns: expected an integer from 1 on, found 2.5"),
        ({"out": torch.empty(5, 2)}, r"out: expected shape \[5, 3\], found \[5, 2\]"),
        ({"out": torch.empty(5, 3).long()}, "out: expected floating point, found torch.int64"),
        ({"task": "regression", "scale": torch.zeros(3)}, "scale: expected positive numbers"),
        ({"teacher_logits": torch.randn(5, 0)}, "teacher_logits: expected numbers, N and C at"),
        ({"teacher_logits": torch.randn(5, 3) + 0j}, "found torch.complex64"),
        ({"gamma1": -1.0}, "gamma1: expected 0 or more, found -1"),
        ({"gamma2": float("inf")}, "gamma2: expected 0 or more, found inf"),
        ({"teacher_logits": torch.full((5, 3), torch.nan)}, "teacher_logits: expected finite"),
        ({"influence": torch.full((5,), torch.nan)}, "influence: expected finite"),
        ({"kl": "both"}, "kl: expected forward or reverse, found 'both'"),
        ({"edge_weighting": "none"}, "edge_weighting: expected neighborhood or edges"),
        ({"form": "dense"}, "form: expected collapsed, apply_edges or edge_kl"),
    ],
)
def test_bad_arguments(change, told):
    arguments = {
        "graph": random_undirected(5, 9),
        "teacher_logits": torch.randn(5, 3),
        "influence": torch.rand(5),
        "gamma1": 1.0,
        "gamma2": 1.0,
        "tau": 1.0,
    }
    with pytest.raises(InputError, match=told):
        DistillationLoss(**{**arguments, **change})


def test_student_of_another_shape():
    loss = DistillationLoss(
        random_undirected(5, 9), torch.randn(5, 3), torch.rand(5), gamma1=1, gamma2=1, tau=1
    )
    with pytest.raises(
        InputError, match=r"student_logits: expected shape \[5, 3\], found \[4, 3\]"
    ):
        loss(torch.randn(4, 3))
    rows = loss.per_node()
    with pytest.raises(InputError, match=r"own: expected shape \[2, 1\], found \[1, 1\]"):
        loss(torch.randn(2, 3), rows["targets"][:2], rows["own"][:1])  # which would broadcast


def test_rows_of_nodes_are_of_the_collapsed_form():
    options: dict[str, Any] = {"gamma1": 1.0, "gamma2": 1.0, "tau": 1.0, "form": "edge_kl"}
    loss = DistillationLoss(random_undirected(5, 9), torch.randn(5, 3), torch.rand(5), **options)
    with pytest.raises(InputError, match="form: per_node is of collapsed, found edge_kl"):
        loss.per_node()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"influence": torch.rand(4, 1)}, r"influence: expected shape \[4\], found \[4, 1\]"),
        ({"influence": torch.rand(3)}, r"influence: expected shape \[4\], found \[3\]"),
        ({"labels": torch.zeros(4, 1).long()}, r"labels: expected shape \[4\], found \[4, 1\]"),
        ({"labels": torch.zeros(4)}, "labels: expected int64, found torch.float32"),
    ],
)
def test_supervised_refuses_what_would_broadcast(change, told):
    arguments = {"logits": torch.randn(4, 3), "labels": torch.zeros(4).long()}
    arguments |= {"influence": torch.rand(4)}
    with pytest.raises(InputError, match=told):
        supervised_loss(**{**arguments, **change}, delta1=1.0, delta2=0.2)


def test_directed_graph_is_refused():
    with pytest.raises(InputError, match="no reverse"):
        DistillationLoss(
            dgl.graph(([0], [1])), torch.randn(2, 2), torch.rand(2), gamma1=1, gamma2=1, tau=1
        )
    csr = CSRGraph.from_dgl(dgl.graph(([0], [1])))  # taken as it is
    DistillationLoss(csr, torch.randn(2, 2), torch.rand(2), gamma1=1, gamma2=1, tau=1)
