from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch.nn.modules.module import register_module_forward_hook

from infgrand_dgl import InputError
from infgrand_dgl.config.fields import Precision
from infgrand_dgl.data import load_dataset
from infgrand_dgl.data.dataset import NodeDataset, Split
from infgrand_dgl.nn import native
from infgrand_dgl.nn.gnn import GNN, convolution
from infgrand_dgl.ops import spmm
from infgrand_dgl.registry import Teacher, teachers
from infgrand_dgl.system import arrays
from infgrand_dgl.system.memory import Budget
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training import teacher as module
from infgrand_dgl.training.checkpoint import Checkpoint
from infgrand_dgl.training.graphed import GRAPHS
from infgrand_dgl.training.logits import load_logits
from infgrand_dgl.training.teacher import (
    build_teacher,
    fits,
    is_sampled,
    neighbourhood_logits,
    teacher_device,
    teacher_inputs,
    teacher_logits,
    train_teacher,
)
from tests.conftest import random_undirected
from tests.nn.models import AROUND
from tests.processes import together

CPU = torch.device("cpu")
ROOMY, TIGHT = Budget(1 << 50, 1 << 50), Budget(1, 1)


def train(config, dataset, device=CPU, budget=ROOMY):
    """The model and what every epoch recorded."""
    epochs: list[dict[str, float]] = []

    def note(epoch, values):
        epochs.append(dict(values))

    return train_teacher(config, dataset, Runtime(torch.device(device), budget), 7, note), epochs


def test_sampled_where_asked_for_or_where_the_graph_does_not_fit(tiny_config, device):
    dataset = load_dataset(tiny_config)
    roomy, tight = (Runtime(torch.device(device), budget) for budget in (ROOMY, TIGHT))
    assert not is_sampled(tiny_config, dataset, roomy)
    assert is_sampled(tiny_config, dataset, tight)
    assert is_sampled(tiny_config.replace("teacher", batch_size=9), dataset, roomy)
    dgl = tiny_config.replace("teacher", backend="dgl")
    assert not is_sampled(dgl, dataset, roomy)
    with pytest.raises(InputError, match=r"^teacher.backend: dgl trains on the full graph alone"):
        is_sampled(dgl, dataset, tight)


def test_what_a_full_graph_takes_grows_with_the_model(tiny_config, monkeypatch):
    """Features alone need 4·N·D bytes; a wide model does not fit where a narrow one does."""
    dataset = load_dataset(tiny_config)
    runtime = Runtime(CPU, Budget(0))
    monkeypatch.setattr(Budget, "left", lambda self, device="cpu": 1_000_000)
    assert fits(tiny_config, dataset, runtime)
    assert not fits(tiny_config.replace("teacher", hidden=1024), dataset, runtime)
    assert not fits(tiny_config.replace("teacher", layers=200), dataset, runtime)
    most = max(
        h
        for h in range(8, 1024)
        if fits(tiny_config.replace("teacher", hidden=h), dataset, runtime)
    )
    for around in (
        {"norm": "layer"},
        {"residual": True},
        {"jumping_knowledge": "sum"},
        {"input_dropout": 0.1},
    ):
        assert fits(tiny_config.replace("teacher", **around), dataset, runtime)
        assert not fits(tiny_config.replace("teacher", hidden=most, **around), dataset, runtime)


@pytest.mark.parametrize("model", ["gcn", "sage", "gat"])
@pytest.mark.parametrize("around", AROUND)
def test_sampled_training_learns(around, model, tiny_config, device):
    options = {"batch_size": 16, "fanouts": [5, 5], "model": model, "heads": 2, **around}
    config = tiny_config.replace("teacher", **options).replace("train", epochs=12)
    dataset = load_dataset(config)
    teacher, epochs = train(config, dataset, device)
    assert set(epochs[0]) == {"loss", "val_accuracy"}
    assert epochs[-1]["loss"] < epochs[0]["loss"]
    assert max(epoch["val_accuracy"] for epoch in epochs) > 1.5 / dataset.num_classes
    again, repeated = train(config, dataset, device)
    if device == "cpu":
        assert repeated == epochs
        assert all(map(torch.equal, teacher.parameters(), again.parameters()))


class OneLayer(GNN):
    """A teacher as another package would have it."""

    def __init__(self, config, in_features, classes, backend):
        conv = convolution("GraphConv", backend)(in_features, classes, norm="both")
        super().__init__([conv], [in_features, classes], config.dropout, backend)


@pytest.fixture
def with_plugin(tiny_config, monkeypatch):
    choice = Teacher("one-layer", label="One layer", build=OneLayer, floats=6)
    monkeypatch.setitem(teachers.added, "one-layer", choice)
    return tiny_config.replace("teacher", model="one-layer", lr=0.1)


@pytest.mark.parametrize("options", [{}, {"batch_size": 16}, {"backend": "dgl"}])
def test_a_teacher_of_a_plugin(options, with_plugin, device, tmp_path, monkeypatch):
    """It learns, goes on from its checkpoint, and no GPU replays it unless it says so."""
    monkeypatch.setitem(GRAPHS, device, lambda device: pytest.fail("recorded"))
    config = with_plugin.replace("teacher", **options).replace("train", epochs=6, patience=6)
    dataset, runtime = (
        load_dataset(config),
        Runtime.on(teacher_device(config.teacher, torch.device(device))),
    )
    teacher, epochs = train(config, dataset, runtime.device)
    assert isinstance(teacher, OneLayer) and epochs[-1]["loss"] < epochs[0]["loss"]
    file = Checkpoint(tmp_path / "checkpoint.pt", "fingerprint", every=1)
    short = config.replace("train", epochs=3)
    train_teacher(short, dataset, runtime, 7, lambda *_: None, file)
    again: list[int] = []
    resumed = train_teacher(
        config, dataset, runtime, 7, lambda epoch, values: again.append(epoch), file
    )
    assert again == [4, 5, 6]
    if device == "cpu":
        assert all(map(torch.equal, teacher.parameters(), resumed.parameters()))
    logits = teacher_logits(teacher, dataset, runtime)
    if teacher.backend == "native":
        layered = teacher_logits(teacher, dataset, replace(runtime, budget=TIGHT))
        torch.testing.assert_close(layered, logits, rtol=1e-5, atol=1e-5)


def test_memory_is_reckoned_by_what_a_plugin_says(with_plugin, monkeypatch):
    dataset, runtime = load_dataset(with_plugin), Runtime(CPU, Budget(0))
    N, outputs = dataset.num_nodes, with_plugin.teacher.hidden + dataset.num_classes
    given = dataset.matrix.input_bytes + 8 * (N + 1) + 4 * dataset.num_edges
    for left, enough in (
        (given + 4 * N * 6 * outputs, True),
        (given + 4 * N * 6 * outputs - 1, False),
    ):
        monkeypatch.setattr(Budget, "left", lambda self, device="cpu", left=left: left)
        assert fits(with_plugin, dataset, runtime) == enough


@pytest.mark.parametrize("model", ["gcn", "sage"])
def test_constant_features_are_aggregated_once(model, tiny_config, device, monkeypatch):
    """In all steps and evaluations of a training on the full graph."""
    widths = []

    def noted(graph, x, *scales):
        widths.append(x.shape[1])
        return spmm(graph, x, *scales)

    monkeypatch.setattr(native, "spmm", noted)
    monkeypatch.delitem(GRAPHS, device, raising=False)
    config = tiny_config.replace("train", inputs="dense", epochs=4)
    train(config.replace("teacher", model=model, hidden=80), load_dataset(config), device)
    assert widths == [60] + [3] * 2 * 4


@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize("model", ["gcn", "sage", "gat"])
def test_precision(model, batch_size, tiny_config, device):
    """bfloat16 is for products and hidden layers: weights and losses stay float32. tf32 is a
    GPU's."""
    config = tiny_config.replace("teacher", model=model, batch_size=batch_size, dropout=0.0)
    dataset, found = load_dataset(config), {}
    for precision in get_args(Precision):
        seen: set[tuple[bool, torch.dtype]] = set()

        def note(module, args, out, seen=seen):
            if isinstance(module, GNN):
                seen.add((module.training, out.dtype))

        with register_module_forward_hook(note):
            given = config.replace("train", precision=precision)
            teacher, found[precision] = train(given, dataset, device)
        reduced = precision == "bfloat16" and model != "gat"
        dtype = torch.bfloat16 if reduced else torch.float32
        assert seen == {(True, dtype), (False, dtype)}
        assert {p.dtype for p in teacher.parameters()} == {torch.float32}
    expected = found["float32"][0]["loss"]
    assert found["bfloat16"][0]["loss"] == pytest.approx(expected, rel=1e-2)
    assert found["bfloat16"] != found["float32"]
    if device == "cpu":
        assert found["tf32"] == found["float32"]


@pytest.mark.parametrize("options", [{}, {"batch_size": 32}, {"backend": "dgl"}])
def test_weights_that_follow_the_labels_are_learnt_from(options, tiny_config):
    """Edges between equal labels are as many as chance has it, but weigh a hundred times more."""
    N, E = 300, 1500
    labels = np.random.randint(0, 3, N)
    source, target = np.random.randint(0, N, (2, E))
    alike = labels[source] == labels[target]
    weights = np.where(alike, np.random.uniform(2, 4, E), np.random.uniform(0.02, 0.04, E))
    x = (np.random.randn(N, 8) + 0.7 * np.eye(3, 8)[labels]).astype(np.float32)
    split, accuracies = Split(*torch.randperm(N).split([60, 90, 150])), []
    config = tiny_config.replace("teacher", dropout=0.0, hidden=32, **options)
    config = config.replace("train", epochs=40)
    for values in (weights, np.ones(E)):
        matrix = sp.coo_matrix((values, (source, target)), (N, N))
        dataset = NodeDataset.from_arrays(matrix, x, labels, split=split)
        assert (dataset.csr.weights is None) == (values is not weights)
        model, _ = train(config, dataset)
        predicted = teacher_logits(model, dataset, Runtime(CPU, ROOMY)).argmax(dim=1)
        accuracies.append(float((predicted == dataset.labels)[split.test].float().mean()))
    assert accuracies[0] > accuracies[1] + 0.1


@pytest.mark.parametrize("model", ["gcn", "sage", "gat"])
def test_who_reads_no_weights_says_so_once(model, tiny_config, caplog):
    config = tiny_config.replace("teacher", model=model, heads=2)
    dataset = load_dataset(config)
    weighted = replace(dataset, csr=replace(dataset.csr, weights=torch.rand(dataset.num_edges)))
    told = f"teacher.model: {model}: its attention reads no edge weights; gcn and sage do"
    for view, times in ((dataset, 0), (weighted, model == "gat")):
        caplog.clear()
        train(config, view)
        assert [record.getMessage() for record in caplog.records].count(told) == times


def test_batches_and_fanouts_are_as_configured(tiny_config, monkeypatch):
    dataset = load_dataset(tiny_config)
    assert len(dataset.train) > 16
    seen = []

    class Noted(module.Neighborhoods):
        def __init__(self, csr, features, fanouts, *rest):
            seen.append(fanouts)
            super().__init__(csr, features, fanouts, *rest)

        def batches(self, nodes, batch_size, seed):
            seen.append((sorted(nodes.tolist()), batch_size, seed))
            return super().batches(nodes, batch_size, seed)

    monkeypatch.setattr(module, "Neighborhoods", Noted)
    train(tiny_config.replace("train", epochs=2), dataset, budget=TIGHT)
    fanouts, one, val, other, val_ = seen
    assert fanouts == [10, 10] and one[:2] == (sorted(dataset.train.tolist()), 1024)
    assert val == val_ and val[0] == sorted(dataset.val.tolist())
    assert one[:2] == other[:2] and one[2] != other[2]
    seen.clear()
    train(tiny_config.replace("teacher", batch_size=16, fanouts=[3, 4]), dataset, budget=ROOMY)
    assert seen[0] == [3, 4] and seen[1][1] == 16


def test_an_epoch_does_not_depend_on_those_before_it(tiny_config, monkeypatch):
    """What a resumed run does in its third epoch is what the third epoch always does."""
    config = tiny_config.replace("teacher", batch_size=16)
    dataset, losses = load_dataset(config), []

    def fit(model, task, **options):
        for epochs in ([1, 2, 3], [3]):
            losses.append([[float(b["loss"].detach()) for b in task.steps(n)] for n in epochs][-1])

    monkeypatch.setattr(module, "fit", fit)
    train(config, dataset)
    assert losses[0] == losses[1] and len(losses[0]) > 1


PROCESS = """
import os, sys, torch
from dataclasses import replace
from infgrand_dgl.config import load_config
from infgrand_dgl.data import load_dataset
from infgrand_dgl.system.ranks import joined
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training.teacher import train_teacher
config = load_config(sys.argv[1]).replace("teacher", batch_size=16, fanouts=[5, 5])
cpu, epochs, losses = torch.device("cpu"), [], []
with joined(cpu) as ranks:
    model = train_teacher(config, load_dataset(config), replace(Runtime.on(cpu), ranks=ranks), 7,
                          lambda epoch, values: epochs.append(values))
    total = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert len({tuple(weights) for weights in ranks.gather(total.tolist())}) == 1
    recorded = [list(epoch.values()) for epoch in epochs]
    assert ranks.gather(recorded) == [recorded] * 2
"""


def test_processes_train_one_model_on_their_shares(tiny, tmp_path):
    script = tmp_path / "process.py"
    script.write_text(PROCESS)
    done = together(script, tiny)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
@pytest.mark.parametrize("model", ["gcn", "sage", "gat"])
@pytest.mark.parametrize("around", [AROUND[0], AROUND[-1]])
def test_logits_do_not_depend_on_what_fits(around, model, setting, tiny_config, tmp_path, device):
    config = tiny_config.replace("data", setting=setting)
    config = config.replace("teacher", model=model, heads=2, layers=3, **around)
    dataset = load_dataset(config)
    teacher = build_teacher(config.teacher, 60, 3).to(device).eval()
    roomy = Runtime(torch.device(device), ROOMY)
    tight = replace(roomy, budget=TIGHT)
    full = teacher_logits(teacher, dataset, roomy)
    forward = teacher(*teacher_inputs(teacher, dataset)).detach().cpu()
    assert torch.equal(full[dataset.test], forward[dataset.test])
    layered = teacher_logits(teacher, dataset, replace(tight, scratch=tmp_path))
    torch.testing.assert_close(layered, full, rtol=1e-5, atol=1e-5)
    for runtime in (roomy, tight):
        half = teacher_logits(teacher, dataset, runtime, torch.float16)
        torch.testing.assert_close(half, full.half(), rtol=1e-2, atol=1e-3)
    if setting == "inductive":  # a change of the hidden nodes is not seen by the others
        features = dataset.dense_features().clone()
        features[dataset.test] += 1
        changed = teacher_logits(teacher, replace(dataset, features=features), tight)
        seen = dataset.parts.observed
        torch.testing.assert_close(changed[seen], full[seen], rtol=1e-5, atol=1e-5)
        assert not torch.allclose(changed, full)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("around", [AROUND[0], AROUND[-1]])
@pytest.mark.parametrize("model", ["gcn", "sage", "gat"])
def test_logits_of_some_nodes_need_their_neighbourhood_alone(
    model, around, weighted, tiny_config, device
):
    config = tiny_config.replace("teacher", model=model, heads=2, **around)
    dataset, runtime = load_dataset(config), Runtime(torch.device(device), ROOMY)
    if weighted:
        dataset = replace(dataset, csr=random_undirected(300, 900, weighted=True))
    teacher = build_teacher(config.teacher, 60, 3).to(device).eval()
    nodes = torch.randperm(300)[:10]
    with torch.no_grad():
        found = neighbourhood_logits(teacher, dataset, runtime)(nodes)
    full = teacher_logits(teacher, dataset, runtime)[nodes]
    torch.testing.assert_close(found.cpu(), full, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_external_logits(dtype, tmp_path):
    logits = np.random.randn(20, 3).astype(dtype)
    np.save(tmp_path / "logits.npy", logits)
    found = load_logits(tmp_path / "logits.npy", 20, 3)
    assert torch.equal(found, torch.from_numpy(logits))


def test_external_logits_that_are_none(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "FINITE_ROWS", 4)
    path = tmp_path / "logits.npy"
    with pytest.raises(InputError, match=r"logits.npy: no such file"):
        load_logits(path, 20, 3)
    np.save(path, np.zeros((20, 4), dtype="float32"))
    expected = r"logits.npy: expected floating-point logits of shape \[20, 3\], found "
    with pytest.raises(InputError, match=expected + r"float32 of shape \[20, 4\]"):
        load_logits(path, 20, 3)
    np.save(path, np.zeros((20, 3), dtype="int64"))
    with pytest.raises(InputError, match=expected + r"int64 of shape \[20, 3\]"):
        load_logits(path, 20, 3)
    for value in (np.nan, np.inf):
        logits = np.zeros((20, 3), dtype="float32")
        logits[[13, 17], 1] = value
        np.save(path, logits)
        with pytest.raises(InputError, match=r"expected finite logits, but those of node 13"):
            load_logits(path, 20, 3)
    path.write_text("no array")
    with pytest.raises(InputError, match=r"logits.npy: not a readable .npy file"):
        load_logits(path, 20, 3)
