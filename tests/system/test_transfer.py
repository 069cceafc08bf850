import threading
import weakref
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from infgrand_dgl import propagate_features
from infgrand_dgl.config.schema import TeacherConfig
from infgrand_dgl.features.matrix import FeatureMatrix
from infgrand_dgl.features.sparse import SparseMatrix
from infgrand_dgl.propagation.equation import Propagation
from infgrand_dgl.propagation.memory import slab_needs, slabs_of
from infgrand_dgl.propagation.streamed import propagate_slabs
from infgrand_dgl.system import transfer
from infgrand_dgl.system.arrays import map_array
from infgrand_dgl.system.ranks import ALONE
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.system.transfer import Staging, ahead, prefetched, tensors
from infgrand_dgl.training.batches import NodeBatches
from infgrand_dgl.training.layerwise import layerwise
from infgrand_dgl.training.sampling import Neighborhoods
from infgrand_dgl.training.teacher import build_teacher
from tests.conftest import random_csr, random_undirected
from tests.fake_gpu import FakeGpu

CPU = torch.device("cpu")


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of late copies, with small buffers."""
    monkeypatch.setattr(transfer, "BUFFER_BYTES", 1000)
    return FakeGpu(monkeypatch)


@pytest.fixture(params=["memory", "mapped", "columns first"])
def values(request, tmp_path):
    x = torch.randn(500, 17)
    if request.param == "memory":
        return x
    if request.param == "columns first":
        return x.T.contiguous().T
    np.save(tmp_path / "x.npy", x.numpy())
    return map_array(tmp_path / "x.npy")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_rows_pass_through_two_buffers(dtype, values, gpu):
    staging, ids = Staging(CPU), torch.randint(500, (333,))
    values = values.to(dtype)
    expected = values[ids]
    found, labels = staging.rows(values, ids), staging.rows(ids, torch.arange(333))
    gpu.main.run()
    assert torch.equal(found, expected) and torch.equal(labels, ids)
    assert len(gpu.pinned) <= 4 and max(gpu.pinned) <= 1000  # each may have grown once
    assert staging.rows(values, ids[:0]).shape == (0, 17)


def test_a_row_longer_than_a_buffer(gpu):
    values = torch.randn(5, 600)
    found = Staging(CPU).rows(values, torch.tensor([3, 1, 3]))
    gpu.main.run()
    assert torch.equal(found, values[[3, 1, 3]])
    assert gpu.pinned == [2400, 2400]


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_what_comes_back_is_whole_and_in_order(count, gpu):
    sources = list(torch.randn(count, 40, 3))
    found = [
        host.clone() for host in Staging(CPU).receive(partial(lambda x: x, s) for s in sources)
    ]
    assert len(found) == count
    assert all(map(torch.equal, found, sources))
    assert len(gpu.pinned) == min(count, 2)


def test_without_a_gpu_nothing_is_staged(values):
    staging, ids = Staging(CPU), torch.randint(500, (50,))
    assert torch.equal(staging.rows(values, ids), values[ids])
    source = torch.randn(3)
    assert next(staging.receive([lambda: source])) is source
    assert not staging.buffers


def test_results_may_be_used_and_dropped_on_the_current_stream(gpu):
    """The maker's copies are waited for, and the allocator told."""
    staging, x = Staging(CPU), torch.randn(90, 40)
    parts = torch.randperm(90).split(20)
    made = ahead((partial(staging.rows, x, ids) for ids in parts), CPU)
    for ids, found in zip(parts, made, strict=True):
        assert torch.equal(found, x[ids])
        assert id(found) in gpu.recorded
    assert not gpu.main.todo and not gpu.side.todo


@pytest.mark.parametrize("make", [ahead, lambda calls: prefetched(calls, CPU)])
def test_calls_are_asked_for_in_order_by_who_asks_for_results(make):
    asked, threads = [], set()

    def calls():
        for k in range(4):
            asked.append(k)
            threads.add(threading.get_ident())
            yield partial(pow, k, 2)

    assert list(make(calls())) == [0, 1, 4, 9]
    assert asked == [0, 1, 2, 3] and threads == {threading.get_ident()}


def test_ahead_makes_one_before_it_is_asked_for():
    started = [threading.Event() for _ in range(3)]

    def call(k):
        started[k].set()
        return k

    results = ahead(partial(call, k) for k in range(3))
    assert next(results) == 0
    assert started[1].wait(10)
    assert not started[2].is_set()
    assert list(results) == [1, 2]


@pytest.mark.parametrize("end", ["close", "error here", "error there"])
def test_no_thread_is_left(end, gpu):
    before = threading.active_count()

    def broken():
        raise OSError("disk")

    made: Any = ahead(
        iter([lambda: 1, lambda: 2, broken if end == "error there" else lambda: 3]), CPU
    )
    assert next(made) == 1
    assert threading.active_count() == before + 1
    if end == "close":
        made.close()
    elif end == "error here":
        with pytest.raises(ValueError, match="own"):
            made.throw(ValueError("own"))
    else:
        assert next(made) == 2
        with pytest.raises(OSError, match="disk"):
            next(made)
    assert threading.active_count() == before


def test_tensors_of_values():
    csr, x = random_csr(5, 4, 9), torch.randn(3)
    matrix = SparseMatrix.of(torch.eye(3))
    nested = {"a": [csr, (x, 3, None)], "b": matrix, "c": x, "d": torch.eye(2).to_sparse_csr()}
    found = [tuple(t.shape) for t in tensors(nested)]
    assert sorted(found) == sorted([(6,), (9,), (3,), (4,), (3,), (3,), (3,), (2,), (2,)])
    assert csr.transposed is not None
    symmetric = random_undirected(5, 4)
    assert symmetric.transposed is symmetric and len(list(tensors(symmetric))) == 2


# Whoever reads ahead gets the same


@pytest.fixture(params=["resident", "mapped", "sparse"])
def rows(request, tmp_path):
    x: Any = torch.randn(5000, 6) * (torch.rand(5000, 6) < 0.5)
    if request.param == "mapped":
        np.save(tmp_path / "x.npy", x.numpy())
        x = map_array(tmp_path / "x.npy")
    elif request.param == "sparse":
        x = SparseMatrix.of(x)
    return {"x": x, "ids": torch.arange(5000)}


def flat(batches):
    return [[t.clone() for t in tensors(batch)] for batch in batches]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert len(one) == len(other) and all(map(torch.equal, one, other))


@pytest.mark.parametrize("pool", [2048, 2500])
def test_batches(pool, rows, request):
    batches = NodeBatches(rows, 300, CPU, pool=pool, seed=3)
    expected = [flat(batches.epoch(k)) for k in range(2)]
    gpu = request.getfixturevalue("gpu")
    batches = NodeBatches(rows, 300, CPU, pool=pool, seed=3)
    for epoch in range(2):
        next(batches.epoch(5))  # is cut off
        assert_same(flat(batches.epoch(epoch)), expected[epoch])
    assert max(gpu.pinned, default=0) <= 1000


@pytest.mark.usefixtures("gpu")
def test_two_pools_are_there_at_a_time(monkeypatch):
    pools: list[weakref.ref[torch.Tensor]] = []
    read = NodeBatches._read

    def noted(self, *given):
        assert sum(pool() is not None for pool in pools) <= 1
        found = read(self, *given)
        pools.append(weakref.ref(found[0]["x"]))
        return found

    monkeypatch.setattr(NodeBatches, "_read", noted)
    batches = NodeBatches({"x": torch.randn(9000, 3)}, 300, CPU, pool=2048)
    assert sum(len(batch["x"]) for batch in batches.epoch(1)) == 9000
    assert len(pools) == 5


@pytest.mark.parametrize("inputs", ["dense", "sparse"])
def test_sampled_neighbourhoods(inputs, request):
    csr, x = random_undirected(2000, 9000), torch.randn(2000, 8)
    nodes = torch.randperm(2000)[:700]

    def drawn(sampler):
        state = torch.get_rng_state()
        found = flat(sampler.batches(nodes, 150, 5))
        assert torch.equal(state, torch.get_rng_state())
        return found

    expected = drawn(Neighborhoods(csr, FeatureMatrix(x), [3, 4], Runtime.on("cpu"), inputs))
    request.getfixturevalue("gpu")
    sampler = Neighborhoods(csr, FeatureMatrix(x), [3, 4], Runtime.on("cpu"), inputs)
    assert_same(drawn(sampler), expected)
    next(iter(sampler.batches(nodes, 100, 8)))
    assert_same(drawn(sampler), expected)


@pytest.mark.usefixtures("gpu")
def test_layers_one_by_one():
    csr, x = random_undirected(150, 600), torch.randn(150, 11)
    teacher = build_teacher(TeacherConfig(model="sage", layers=3, hidden=16), 11, 5).eval()
    found = layerwise(teacher, csr, FeatureMatrix(x), Runtime.on("cpu"), entries=60)
    torch.testing.assert_close(found, teacher(csr, x).detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", None])
@pytest.mark.parametrize("some", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_slabs(dtype, some, pooling, gpu, monkeypatch):
    for module in ("features.matrix", "propagation.memory"):
        monkeypatch.setattr(f"infgrand_dgl.{module}.BLOCK_BYTES", 50 * 37 * 4)
    csr, x = random_undirected(300, 900), torch.randn(300, 37)
    nodes = torch.randperm(400)[:300] if some else None
    parts = 1 if pooling else 3
    out, written = torch.zeros(400 if some else 300, 37 * parts, dtype=dtype), []
    propagate_slabs(
        csr,
        Propagation(2, 2.0, pooling),
        FeatureMatrix(x),
        out,
        list(slabs_of(37, 16, ALONE)),
        CPU,
        scale=0.5,
        nodes=nodes,
        on_slab=lambda: written.append(1),
    )
    whole = propagate_features(csr, x, hops=2, pooling=pooling, self_loop_weight=2.0)
    torch.testing.assert_close(out if nodes is None else out[nodes], (0.5 * whole).to(dtype))
    assert written == [1, 1, 1] * parts
    assert max(gpu.pinned) <= 50 * 16 * 4
    host, _ = slab_needs(csr, 16, torch.device("cuda"))
    assert sum(gpu.pinned) + 3 * 50 * 37 * 4 <= host == slab_needs(csr, 1, torch.device("cuda"))[0]


@pytest.mark.usefixtures("gpu")
def test_an_error_of_the_writer_is_raised(monkeypatch):
    csr, x = random_undirected(300, 900), torch.randn(300, 37)
    before = threading.active_count()

    def full():
        raise OSError("No space left on device")

    propagation, features, out = Propagation(1, 1.0), FeatureMatrix(x), torch.empty(300, 37)
    with pytest.raises(OSError, match="No space"):
        slabs = list(slabs_of(37, 16, ALONE))
        propagate_slabs(csr, propagation, features, out, slabs, CPU, on_slab=full)
    assert threading.active_count() == before
