"""The loss of all nodes against the sum over all edges, on whatever graph hypothesis finds."""

from dataclasses import replace
from itertools import pairwise
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infgrand_dgl import DistillationLoss
from infgrand_dgl.distillation.loss import Form
from tests.conftest import random_csr
from tests.distillation.test_loss import DIRECTIONS, WEIGHTINGS, per_edge


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("kl", DIRECTIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@settings(max_examples=40, deadline=None)
@given(
    nodes=st.integers(1, 30),
    edges=st.integers(1, 200),
    classes=st.integers(1, 9),
    tau=st.floats(0.3, 4),
    gamma=st.tuples(st.floats(0, 2), st.floats(0, 2)),
    scale=st.floats(0, 8),
    weighted=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_collapsed_equals_edgewise(
    kl, weighting, dtype, nodes, edges, classes, tau, gamma, scale, weighted, seed
):
    """Value and gradient, on any graph: isolated nodes, parallel edges, self-loops."""
    torch.manual_seed(seed)
    csr = random_csr(nodes, nodes, edges)
    if weighted:
        csr = replace(csr, weights=torch.rand(edges) + 0.01)
    teacher, student = (scale * torch.randn(2, nodes, classes, dtype=dtype)).unbind()
    influence = torch.rand(nodes)
    options = {
        "gamma1": gamma[0],
        "gamma2": gamma[1],
        "tau": tau,
        "kl": kl,
        "edge_weighting": weighting,
    }
    a, kl_ij, absolute = per_edge(
        csr, teacher, student, influence, gamma[0], gamma[1], tau, kl, weighting
    )
    # float32 is judged against the absolute terms: the value itself can cancel.
    tolerance = 1e-10 if dtype == torch.float64 else 1e-5 * float((a * absolute).sum()) + 1e-12
    # log_softmax rounds at the size of the logits, where its result may be near 0.
    largest = float(teacher.abs().max() + student.abs().max()) / tau
    if dtype == torch.float32:
        tolerance += 4 * torch.finfo(dtype).eps * largest * float(a.sum())
    # The gradient of an edge's term is at most a few times its absolute terms, plus 1, over tau.
    steepness = max(1.0, 4 / tau)
    found = {}
    for form in get_args(Form):
        x = student.clone().requires_grad_()
        loss = DistillationLoss(csr, teacher, influence, **options, form=form)(x)
        found[form] = (loss.detach(), *torch.autograd.grad(loss, x))
        assert abs(float(loss.detach()) - float((a * kl_ij).sum())) <= tolerance
    room = tolerance if dtype == torch.float64 else steepness * (tolerance + 1e-5 * float(a.sum()))
    for (value, slope), (other_value, other_slope) in pairwise(found.values()):
        assert abs(float(value - other_value)) <= tolerance
        assert float((slope - other_slope).abs().max()) <= room
