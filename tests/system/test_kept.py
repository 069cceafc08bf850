import gc
from dataclasses import replace

import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.config.schema import TeacherConfig
from infgrand_dgl.data import load_dataset
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.influence.compute import influence
from infgrand_dgl.propagation.inputs import student_inputs
from infgrand_dgl.system import kept
from infgrand_dgl.system.kept import held
from infgrand_dgl.system.memory import Budget
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training import placement
from infgrand_dgl.training.teacher import build_teacher, teacher_inputs, teacher_logits
from tests.conftest import random_undirected

# Nothing is computed there, and nothing held; but it is another device.
META = torch.device("meta")


@pytest.fixture(autouse=True)
def _nothing_kept():
    kept.drop()
    yield
    kept.drop()


@pytest.fixture
def uploads(monkeypatch):
    """What was copied to another device: graphs, and float matrices of a dataset's size."""
    found: list[str] = []
    move, to = CSRGraph.to, torch.Tensor.to

    def graph(self, device):
        moved = move(self, device)
        if moved is not self:
            found.append("graph")
        return moved

    def tensor(self, *arguments, **options):
        moved = to(self, *arguments, **options)
        if self.dim() == 2 and len(self) >= 200 and moved.device != self.device:
            found.append("features")
        return moved

    monkeypatch.setattr(CSRGraph, "to", graph)
    monkeypatch.setattr(torch.Tensor, "to", tensor)
    return found


def dataset_of(*overrides):
    return load_dataset(load_config("demo", ["data.nodes=300", *overrides]))


def test_a_copy_is_made_once_and_goes_with_its_original(uploads):
    csr, x = random_undirected(300, 900), torch.randn(300, 9)
    copies = [(kept.kept(csr, META), kept.kept(x, "meta")) for _ in range(3)]
    assert all(one[0] is copies[0][0] and one[1] is copies[0][1] for one in copies)
    assert copies[0][0].indptr.device == copies[0][1].device == META
    assert uploads == ["graph", "features"]
    assert held() == 8 * 301 + 4 * csr.num_edges + 4 * 300 * 9
    del csr
    gc.collect()
    assert held() == 4 * 300 * 9
    kept.drop()
    assert held() == 0
    kept.kept(x, META)
    assert uploads == ["graph", "features", "features"]


def test_what_is_there_is_no_copy():
    csr, x = random_undirected(20, 30), torch.randn(20, 3)
    assert kept.kept(csr, "cpu") is csr and kept.kept(x, torch.device("cpu")) is x
    assert held() == 0


@pytest.mark.parametrize("kind", ["dense", "sparse", "float16"])
def test_the_forms_of_features_share_one_copy(kind, uploads):
    data = dataset_of()
    x = data.dense_features()
    data = replace(data, features={"sparse": x.to_sparse_csr(), "float16": x.half()}.get(kind, x))
    teacher = build_teacher(TeacherConfig(hidden=8), data.num_features, 3).to(META)
    uploads.clear()
    for _ in range(2):
        graph, features = teacher_inputs(teacher, data)
        assert isinstance(features, torch.Tensor) and features.dtype == torch.float32
        assert graph.num_edges == data.num_edges
    assert data.dense_features(META).dtype == torch.float32
    assert uploads == ["graph", "features"]
    if kind != "sparse":  # whose size the device forgets
        graph_bytes = 8 * (data.num_nodes + 1) + 4 * data.num_edges
        assert held() == graph_bytes + data.matrix.stored_bytes


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
def test_every_stage_takes_the_same_copies(setting, device, uploads):
    config = load_config("demo", ["data.nodes=300", f"data.setting={setting}"])
    data, runtime = load_dataset(config), Runtime.on(device)
    model = build_teacher(TeacherConfig(hidden=8), data.num_features, data.num_classes).to(device)
    uploads.clear()
    for _ in range(2):
        influence(config, data, runtime)
        student_inputs(config, data, runtime)
        teacher_inputs(model, data.observed_view())
        teacher_logits(model, data, runtime)
    graphs = {"transductive": 1, "inductive": 2}[setting] if device == "cuda" else 0
    assert sorted(uploads) == ["features"] * graphs + ["graph"] * graphs


def test_budgets_count_copies_as_free_and_drop_them_when_they_are_in_the_way(monkeypatch):
    x = torch.randn(1000, 25)  # 100 kB
    copy = kept.kept(x, META)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 40_000 + held())
    budget = Budget(1 << 60, 200_000)
    assert budget.left("cuda") == 160_000
    assert budget.fits(0, 60_000) and held() == 100_000
    assert not budget.fits(0, 160_001) and not budget.fits_on(torch.device("cuda"), 160_001)
    assert held() == 100_000
    with pytest.raises(InputError, match="resources.gpu_memory: .* too little to x; "):
        budget.require("x", 0, 170_000)
    assert held() == 100_000
    budget.require("x", 0, 50_000)
    budget.make_room("cpu", 1 << 50)
    assert held() == 100_000
    assert budget.fits(0, 60_001)
    assert held() == 0 and copy.shape == x.shape
    for make_room in (
        lambda: budget.require("x", 0, 160_000),
        lambda: budget.make_room("cuda", 70_000),
        lambda: budget.fits_on(torch.device("cuda"), 100_000),
    ):
        kept.kept(x, META)
        make_room()
        assert held() == 0


@pytest.mark.parametrize("beside", [True, False])
def test_a_student_drops_copies_only_if_they_are_in_its_way(beside, monkeypatch):
    graph, x = random_undirected(3000, 9000), torch.randn(3000, 10)
    kept.kept(graph, META)
    monkeypatch.setattr(torch.cuda, "memory_allocated", held)
    config = load_config("demo", ["student.batch_size=100"])
    monkeypatch.setattr(placement, "first_layer_input", lambda x, *given: x)
    monkeypatch.setattr(placement, "kept", lambda x, device: x)
    # Inputs, and 20 * 64 bytes of a hidden layer, for each node; or next to nothing.
    budget = Budget(0, (3000 * 10_000 if beside else 100_000) + held())
    placed = placement.place(config, x, 3, Runtime(torch.device("cuda"), budget))
    assert placed.step == 100 and (placed.pool is None) == beside
    assert (held() > 0) == beside
