"""Logits of some nodes from their surroundings, against those of all."""

import pytest
import torch

from infgrand_dgl.config.schema import TeacherConfig
from infgrand_dgl.graph.changing import ChangingGraph
from infgrand_dgl.training.nearby import logits_nearby
from infgrand_dgl.training.teacher import build_teacher
from tests.conftest import random_undirected


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("model", ["gcn", "sage", "gat"])
@pytest.mark.parametrize("layers", [1, 3])
def test_nearby(layers, model, weighted):
    """And no other row of X is asked for."""
    csr, x = random_undirected(200, 150, weighted=weighted), torch.randn(200, 5)
    made = {"model": model, "layers": layers, "hidden": 8, "heads": 2}
    around = {"norm": "layer", "residual": True, "jumping_knowledge": "sum"} if layers > 1 else {}
    config = TeacherConfig.model_validate(made | around)
    teacher = build_teacher(config, 5, 3).eval()
    ids, asked = torch.randperm(200)[:7], []

    def rows(nodes):
        asked.extend(nodes.tolist())
        return x[nodes]

    found = logits_nearby(teacher, ChangingGraph.of(csr), rows, ids)
    with torch.no_grad():
        expected = teacher(csr, x)[ids]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    near = set(ids.tolist())
    for _ in range(layers):
        near |= {j for i in near for j in csr.indices[csr.indptr[i] : csr.indptr[i + 1]].tolist()}
    assert sorted(asked) == sorted(near)
