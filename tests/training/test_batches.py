from typing import get_args

import numpy as np
import pytest
import torch

from infgrand_dgl.data import load_dataset
from infgrand_dgl.features.sparse import SparseMatrix
from infgrand_dgl.ops import Direction
from infgrand_dgl.system.arrays import map_array
from infgrand_dgl.system.memory import Budget
from infgrand_dgl.system.ranks import Ranks
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training import student
from infgrand_dgl.training.batches import NodeBatches

CPU, ROOMY = torch.device("cpu"), Budget(1 << 50)


@pytest.fixture(params=["resident", "mapped", "sparse"])
def rows(request, tmp_path):
    """5000 rows that say who they are."""
    ids = torch.arange(5000)
    x = torch.stack([ids.float(), torch.zeros(5000)], dim=1)
    if request.param == "mapped":
        np.save(tmp_path / "x.npy", x.numpy())
        return {"x": map_array(tmp_path / "x.npy"), "ids": ids}
    return {"x": SparseMatrix.of(x) if request.param == "sparse" else x, "ids": ids}


def dense(x):
    return x @ torch.eye(2, device=x.device) if isinstance(x, SparseMatrix) else x


@pytest.mark.parametrize("pool", [None, 2048, 2500])
@pytest.mark.parametrize("size", [300, 999])
def test_every_node_once_in_batches_of_even_size(size, pool, rows, device):
    batches = NodeBatches(rows, size, torch.device(device), pool=pool, seed=3)
    orders = []
    for epoch in (1, 2, 1):
        seen = []
        for batch in batches.epoch(epoch):
            assert batch["ids"].device.type == device and size * 0.6 < len(batch["ids"]) <= size
            assert torch.equal(dense(batch["x"])[:, 0].cpu(), batch["ids"].float().cpu())
            seen.append(batch["ids"].cpu())
        assert len(seen) == len(batches)
        assert torch.equal(torch.cat(seen).sort().values, torch.arange(5000))
        orders.append(torch.cat(seen))
    assert torch.equal(orders[0], orders[2])
    assert not torch.equal(orders[0], orders[1])
    # Also what is read chunk by chunk is mixed.
    assert (orders[0][1:] - orders[0][:-1]).abs().double().mean() > 500


@pytest.mark.parametrize("pool", [None, 2048])
@pytest.mark.parametrize("size", [None, 701])
def test_processes_share_every_batch(size, pool, rows):
    alone, *parts = (
        list(NodeBatches(rows, size, CPU, pool=pool, ranks=ranks).epoch(4))
        for ranks in (Ranks(0, 1), *(Ranks(r, 3) for r in range(3)))
    )
    assert {len(part) for part in parts} == {len(alone)}
    for whole, *mine in zip(alone, *parts, strict=True):
        lengths = [len(batch["ids"]) for batch in mine]
        off = 0 if pool is None else 2  # each splits its part of what is read together
        assert abs(sum(lengths) - len(whole["ids"])) <= off
        assert max(lengths) - min(lengths) <= 1 + off
    everything = torch.cat([batch["ids"] for part in parts for batch in part])
    assert torch.equal(everything.sort().values, torch.arange(5000))


def gradients(config, dataset, given, monkeypatch, budget=ROOMY, scratch=None):
    """Mean gradient of an epoch's steps at the first weights, how many there were, and the loss."""
    found: list = []

    def look(model, task, **options):
        losses = []
        count = 0
        for batch in task.steps(1):
            batch["loss"].backward()
            losses.append({k: float(v.detach()) for k, v in batch.items()})
            count += 1
        found.extend([[p.grad / count for p in model.parameters()], count, losses])

    monkeypatch.setattr(student, "fit", look)
    runtime = Runtime(CPU, budget, scratch)
    x, influence, logits = given
    student.train_student(config, dataset, x, influence, logits, runtime, 5, lambda *given: None)
    grads, count, losses = found
    return grads, count, {k: np.mean([one[k] for one in losses]) for k in losses[0]}


@pytest.mark.parametrize("kl", get_args(Direction))
@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize("source", ["memory", "file"])
def test_the_mean_of_batch_gradients_is_the_full_gradient(
    source, norm, kl, tiny_config, monkeypatch, tmp_path
):
    config = tiny_config.replace("student", dropout=0.0, norm=norm).replace(
        "distillation", kl=kl, lambda_=0.4, gamma2=0.8, delta2=0.9, tau=1.3
    )
    dataset = load_dataset(config.replace("data", nodes=5000))
    N = dataset.num_nodes
    given = [torch.randn(N, 12), torch.rand(N), 3 * torch.randn(N, 3)]
    expected, steps, losses = gradients(config, dataset, given, monkeypatch)
    assert steps == 1
    budget = ROOMY
    if source == "file":  # too little memory for anything
        budget = Budget(1)
        for k, name in ((0, "x"), (2, "logits")):
            np.save(tmp_path / f"{name}.npy", given[k].numpy())
            given[k] = map_array(tmp_path / f"{name}.npy")
    config = config.replace("student", batch_size=128)
    (tmp_path / "scratch").mkdir()
    found, steps, batch_losses = gradients(
        config, dataset, given, monkeypatch, budget, tmp_path / "scratch"
    )
    assert steps == 40
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
    assert batch_losses == pytest.approx(losses, rel=1e-4)
    assert (source == "file") == any((tmp_path / "scratch").iterdir())


def test_without_a_size_all_nodes_where_they_fit_else_batches(tiny_config, monkeypatch):
    config = tiny_config.replace("data", nodes=5000)
    dataset = load_dataset(config)
    given = [torch.randn(5000, 12), torch.rand(5000), torch.randn(5000, 3)]
    for memory, steps in ((ROOMY, 1), (Budget(1), 5)):
        assert gradients(config, dataset, given, monkeypatch, memory)[1] == steps


@pytest.mark.parametrize("form", ["apply_edges", "edge_kl"])
def test_edges_need_all_nodes(form, tiny_config):
    from infgrand_dgl import InputError

    config = tiny_config.replace("distillation", loss=form).replace("student", batch_size=50)
    dataset = load_dataset(config)
    given = (torch.randn(300, 12), torch.rand(300), torch.randn(300, 3))
    with pytest.raises(InputError, match=f"distillation.loss: {form} needs all nodes in one step"):
        student.train_student(config, dataset, *given, Runtime(CPU, ROOMY), 5, lambda *a: None)
