import numpy as np
import pytest
import torch

from infgrand_dgl.config.schema import TeacherConfig
from infgrand_dgl.features.matrix import FeatureMatrix
from infgrand_dgl.system.arrays import map_array
from infgrand_dgl.system.memory import Budget
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training import layerwise as module
from infgrand_dgl.training.layerwise import cuts, layerwise
from infgrand_dgl.training.teacher import build_teacher
from tests.conftest import random_undirected
from tests.nn.models import AROUND


@pytest.mark.parametrize("entries", [1, 60, 400, 10**6])
@pytest.mark.parametrize("in_features", [7, 40])
@pytest.mark.parametrize("model", ["gcn", "sage", "gat"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("around", AROUND)
def test_equals_the_full_forward(around, weighted, model, in_features, entries, device):
    csr, x = random_undirected(150, 600, weighted=weighted), torch.randn(150, in_features)
    config = TeacherConfig(model=model, layers=3, hidden=16, heads=2, **around)
    teacher = build_teacher(config, in_features, 5).to(device).eval()
    found = layerwise(teacher, csr, FeatureMatrix(x), Runtime.on(device), entries=entries)
    full = teacher(csr.to(device), x.to(device)).detach().cpu()
    torch.testing.assert_close(found, full, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["sparse", "mapped float16"])
def test_features_of_other_kinds(kind, tmp_path):
    csr, x = random_undirected(80, 200), torch.randn(80, 12) * (torch.rand(80, 12) < 0.3)
    np.save(tmp_path / "x.npy", x.half().numpy())
    x = x.half().float()
    features = x.to_sparse_csr() if kind == "sparse" else map_array(tmp_path / "x.npy")
    teacher = build_teacher(TeacherConfig(model="sage", hidden=8), 12, 3).eval()
    found = layerwise(teacher, csr, FeatureMatrix(features), Runtime.on("cpu"), entries=50)
    torch.testing.assert_close(found, teacher(csr, x).detach(), rtol=1e-5, atol=1e-5)


def test_layers_that_do_not_fit_are_mapped(tmp_path, monkeypatch):
    """Into files that are gone afterwards; 16-bit logits."""
    made = []
    new_array = module.new_array

    def noted(*given):
        made.append(given[1:])
        return new_array(*given)

    monkeypatch.setattr(module, "new_array", noted)
    csr, x = random_undirected(80, 200), torch.randn(80, 12)
    jumping = TeacherConfig(layers=3, hidden=8, jumping_knowledge="sum")
    runtime = Runtime(torch.device("cpu"), Budget(1), tmp_path)
    layerwise(build_teacher(jumping, 12, 3).eval(), csr, FeatureMatrix(x), runtime)
    assert [size for size, _ in made] == [(80, 8)] * 3 + [(80, 3)]  # one holds the sum
    made.clear()
    teacher = build_teacher(TeacherConfig(layers=3, hidden=8), 12, 3).eval()
    found = layerwise(teacher, csr, FeatureMatrix(x), runtime, dtype=torch.float16)
    sizes = [(80, 8), (80, 8), (80, 3)]
    assert made == list(zip(sizes, [torch.float32, torch.float32, torch.float16], strict=True))
    assert found.dtype == torch.float16 and not list(tmp_path.iterdir())
    torch.testing.assert_close(found, teacher(csr, x).detach().half(), rtol=1e-2, atol=1e-3)


def test_cuts_cover_the_rows_and_cut_none():
    indptr = torch.tensor([0, 1, 2, 9, 10, 10, 12])
    assert list(cuts(indptr, 3)) == [range(2), range(2, 3), range(3, 6)]
    assert list(cuts(indptr, 0)) == [range(n, n + 1) for n in range(6)]
    assert list(cuts(indptr, 100)) == [range(6)]
