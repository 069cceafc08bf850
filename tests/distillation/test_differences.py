"""FF-G2M's high-frequency term against its definition on DGL's `apply_edges`."""

from math import exp, log

import numpy as np
import pytest
import torch
from torch.nn.functional import kl_div

from infgrand_dgl import InputError
from infgrand_dgl.distillation.differences import EdgeDifferences
from infgrand_dgl.graph import CSRGraph
from infgrand_dgl.graph.dgl_bridge import dgl
from infgrand_dgl.graph.weights import WEIGHT
from tests.conftest import random_undirected
from tests.training.test_graphed import no_waiting


def reference(csr, teacher, student, tau):
    """As it is written, float64, edge by edge."""
    g = dgl.remove_self_loop(csr.to("cpu").to_dgl())
    weights = g.edata[WEIGHT].double() if WEIGHT in g.edata else torch.ones(g.num_edges())
    g.ndata.update({"t": teacher.double().cpu(), "z": student})
    g.apply_edges(dgl.function.u_sub_v("t", "t", "dt"))
    g.apply_edges(dgl.function.u_sub_v("z", "z", "dz"))
    P, log_p = (g.edata["dt"].abs() / tau).softmax(1), (g.edata["dz"].abs() / tau).log_softmax(1)
    kl = kl_div(log_p, P, reduction="none").sum(dim=1)
    return (kl * weights).sum() / weights.sum()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("entries", [1, 7, 100, None])
def test_equals_the_definition(entries, weighted, device):
    """Value and gradient; blocks that cut rows, and nodes without neighbours."""
    csr = random_undirected(40, 90, weighted=weighted)
    teacher, student = 3 * torch.randn(40, 4), torch.randn(40, 4)
    z = student.double().requires_grad_()
    expected = reference(csr, teacher, z, 1.3)
    expected.backward()
    out = student.to(device).requires_grad_()
    given = csr.to(device), teacher.to(device), 1.3, entries
    loss = EdgeDifferences(*given)
    with no_waiting(torch.device(device)):
        found = loss(out)
        (2 * found).backward()
    assert out.grad is not None and z.grad is not None
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    torch.testing.assert_close(out.grad.cpu().double(), 2 * z.grad, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("weighted", [False, True])
def test_gradcheck(weighted, device):
    csr = random_undirected(8, 14, device, weighted)
    loss = EdgeDifferences(csr, torch.randn(8, 3, dtype=torch.float64, device=device), 0.7, 9)
    z = torch.randn(8, 3, dtype=torch.float64, device=device, requires_grad=True)
    assert torch.autograd.gradcheck(loss, z)


def test_by_hand(device):
    """Two nodes: teacher differs by (log 3, 0), σ = (3/4, 1/4); a student that differs in nothing
    says (1/2, 1/2). Both directions of the edge cost log 2 - H(3/4), and their mean is that."""
    csr = CSRGraph.from_edges(np.array([0]), np.array([1]), 2).to(device)
    teacher = torch.tensor([[log(3.0), 1.0], [0.0, 1.0]], device=device)
    found = EdgeDifferences(csr, teacher, 1.0)(torch.zeros(2, 2, device=device))
    assert float(found) == pytest.approx(log(2) - (0.75 * log(4 / 3) + 0.25 * log(4)), rel=1e-5)
    halved = EdgeDifferences(csr, 2 * teacher, 2.0)(torch.zeros(2, 2, device=device))
    assert float(halved) == pytest.approx(float(found), rel=1e-6)
    student = torch.tensor([[0.0, 0.0], [0.0, 1.0]], device=device)  # σ = (1, e) / (1 + e)
    found = EdgeDifferences(csr, teacher, 1.0)(student)
    q = exp(1) / (1 + exp(1))
    by_hand = 0.75 * log(0.75 / (1 - q)) + 0.25 * log(0.25 / q)
    assert float(found) == pytest.approx(by_hand, rel=1e-5)


def test_no_edge_no_difference():
    empty = np.empty(0, np.int64)
    loss = EdgeDifferences(CSRGraph.from_edges(empty, empty, 3), torch.randn(3, 2), 1.0)
    z = torch.randn(3, 2, requires_grad=True)
    found = loss(z)
    found.backward()
    assert float(found.detach()) == 0 and z.grad is not None and not z.grad.any()
    with pytest.raises(InputError, match="student_logits"):
        loss(torch.randn(2, 2))
