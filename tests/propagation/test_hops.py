"""X^(0) to X^(P) side by side: as the equation has them, in memory, by slabs, by processes."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError, propagate_features
from infgrand_dgl.data import load_dataset
from infgrand_dgl.features.matrix import FeatureMatrix
from infgrand_dgl.graph.dgl_bridge import dgl
from infgrand_dgl.propagation.equation import Propagation
from infgrand_dgl.propagation.inputs import student_inputs
from infgrand_dgl.propagation.memory import matrix_needs, slab_needs, slab_width, slabs_of
from infgrand_dgl.propagation.streamed import propagate_slabs
from infgrand_dgl.system.arrays import is_mapped, map_array, new_array
from infgrand_dgl.system.memory import Budget, resident
from infgrand_dgl.system.ranks import ALONE
from infgrand_dgl.system.runtime import Runtime
from tests.conftest import random_undirected
from tests.processes import together
from tests.propagation.test_equation import stages
from tests.propagation.test_streamed import random_dataset, settings

CPU = torch.device("cpu")


@pytest.fixture
def in_pieces(monkeypatch):
    """Nothing fits whole: slabs of 16 columns, blocks of 64 rows."""
    monkeypatch.setattr("infgrand_dgl.features.matrix.BLOCK_BYTES", 64 * 50 * 4)
    monkeypatch.setattr(Budget, "fits", lambda *_: False)
    monkeypatch.setattr("infgrand_dgl.propagation.inputs.slab_width", lambda *_: 16)


def of_hops(*overrides):
    return settings("student.model=sign", *overrides)


@pytest.mark.parametrize("w", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("hops", [0, 1, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_equation(weighted, hops, w, device):
    csr, x = random_undirected(70, 120, device, weighted), torch.randn(70, 11, device=device)
    found = propagate_features(csr, x, hops=hops, pooling=None, self_loop_weight=w)
    expected = torch.cat([*stages(csr, x, hops, w)], dim=1).float()
    assert found.data_ptr() != x.data_ptr()
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-5, atol=1e-6)
    last = propagate_features(csr, x, hops=hops, pooling="last", self_loop_weight=w)
    torch.testing.assert_close(last, found[:, -11:], rtol=1e-5, atol=1e-6)


def test_path_by_hand():
    """a - b: with w = 1 both rows of the normalised matrix are (1/2, 1/2)."""
    graph = dgl.graph(([0, 1], [1, 0]))
    x = torch.tensor([[2.0, 1.0], [4.0, 5.0]])
    found = propagate_features(graph, x, hops=2, pooling=None)
    expected = torch.tensor([[2.0, 1.0, 3.0, 3.0, 3.0, 3.0], [4.0, 5.0, 3.0, 3.0, 3.0, 3.0]])
    torch.testing.assert_close(found, expected)
    last = propagate_features(graph, x, hops=2, pooling="last")
    torch.testing.assert_close(last, torch.full((2, 2), 3.0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_features_of_16_bits_are_rounded_once(dtype, device):
    csr, x = random_undirected(60, 150, device), torch.randn(60, 9, device=device).to(dtype)
    found = propagate_features(csr, x, hops=5, pooling=None)
    expected = propagate_features(csr, x.float(), hops=5, pooling=None)
    assert torch.equal(found, expected.to(dtype))


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("hops", [0, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_slabs_are_the_whole_bit_by_bit(weighted, hops, dtype, mapped, device, tmp_path):
    csr, x = random_undirected(300, 900, weighted=weighted), torch.randn(300, 37).to(dtype)
    propagation = Propagation(hops, 2.0, None)
    expected = propagation.of(csr.to(device), x.float().to(device)).cpu()
    if mapped:
        np.save(tmp_path / "x.npy", x.numpy())
        x = map_array(tmp_path / "x.npy")
    for width in (16, 32, 37):
        shape = 300, 37 * (hops + 1)
        out = new_array(tmp_path / "out.npy", shape) if mapped else torch.empty(shape)
        slabs, done = list(slabs_of(37, width, ALONE)), iter(range(100))
        propagate_slabs(
            csr,
            propagation,
            FeatureMatrix(x),
            out,
            slabs,
            torch.device(device),
            on_slab=partial(next, done),
        )
        assert torch.equal(out, expected) and next(done) == len(slabs) * (hops + 1)
        if mapped:
            assert torch.equal(out, torch.from_numpy(np.load(tmp_path / "out.npy")))


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "sparse"])
def test_a_student_s_inputs_in_pieces(kind, named, request, device, tmp_path):
    dataset = random_dataset()
    if kind == "sparse":
        x = (dataset.features * (torch.rand(500, 50) < 0.2)).to_sparse_csr()
    else:
        x = dataset.features.to(getattr(torch, kind))
    dataset, config = replace(dataset, features=x), of_hops("propagation.hops=2")
    steps: list[tuple[int, int | None]] = []
    runtime = replace(Runtime.on(device), progress=lambda *done: steps.append(done))
    whole = student_inputs(config, dataset, runtime)
    request.getfixturevalue("in_pieces")
    out = tmp_path / "new" / "x.npy"
    found = student_inputs(config, dataset, runtime, out=out if named else None)
    assert found.shape == (500, 150) and is_mapped(found) == named
    assert found.dtype == (torch.float16 if kind == "float16" else torch.float32)
    if kind == "bfloat16":
        torch.testing.assert_close(found.bfloat16(), whole.cpu().bfloat16())
    else:
        assert torch.equal(found, whole.cpu())
    assert steps == [(k, 12) for k in range(1, 13)]
    if named:
        assert [file.name for file in out.parent.iterdir()] == ["x.npy"]
        assert np.array_equal(np.load(out), found.numpy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_inductive(dtype, request, device, tmp_path):
    """Observed nodes have what the observed graph gives, the hidden ones what all of it does."""
    config = of_hops("data.setting=inductive", "data.nodes=900", "data.features=50")
    dataset = load_dataset(config)
    dataset = replace(dataset, features=dataset.dense_features().to(dtype))
    runtime, observed = Runtime.on(device), dataset.parts.observed
    view = dataset.observed_view()
    inputs = student_inputs(config, dataset, runtime)
    hops = config.propagation.hops
    of_all, of_view = (
        propagate_features(data.csr, data.dense_features().float(), hops=hops, pooling=None)
        for data in (dataset, view)
    )
    of_all[observed] = of_view
    torch.testing.assert_close(inputs.cpu(), of_all.to(dtype))
    request.getfixturevalue("in_pieces")
    again = student_inputs(config, dataset, runtime, out=tmp_path / "x.npy")
    assert torch.equal(again, inputs.cpu())


def test_a_slab_is_as_wide_as_its_parts_allow():
    csr, widths = random_undirected(200_000, 10), []
    for parts in (1, 4):
        for width in (8, 16, 40, 100):
            needed, _ = slab_needs(csr, width, CPU, parts)
            runtime = Runtime(CPU, Budget(resident() + needed + (1 << 21)))
            widths.append(slab_width(csr, 100, runtime, 0, parts))
    assert widths == [8, 16, 32, 100] * 2
    one, four = (slab_needs(csr, 16, CPU, parts)[0] for parts in (1, 4))
    assert four - one == 4 * 16 * 200_000


def test_what_is_held_in_memory_is_counted_before(monkeypatch):
    asked: list[tuple[int, int]] = []

    def fits(self, *needs):
        asked.append(needs)
        return True

    monkeypatch.setattr(Budget, "fits", fits)
    dataset = random_dataset()
    for device, beside in (("cpu", 3), ("cuda", 5)):
        with monkeypatch.context() as patch:
            patch.setattr(
                "infgrand_dgl.propagation.inputs._propagated", lambda *_: torch.empty(500, 0)
            )
            runtime = replace(Runtime.on("cpu"), device=torch.device(device))
            student_inputs(of_hops("propagation.hops=3"), dataset, runtime)
        assert asked.pop() == matrix_needs(dataset, torch.device(device), 4 + beside)


def test_too_small_a_budget_says_what_would_do(device):
    with pytest.raises(InputError, match="too little to propagate 500 rows of 50 features"):
        student_inputs(of_hops(), random_dataset(), Runtime(torch.device(device), Budget(1, 1)))


RANK = """
import os
import sys
from dataclasses import replace
from pathlib import Path
import torch
from infgrand_dgl.system.ranks import joined
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.propagation.inputs import student_inputs
from tests.propagation import test_hops

folder, cpu = Path(sys.argv[1]), torch.device("cpu")
dataset = torch.load(folder / "dataset.pt", weights_only=False)
with joined(cpu) as ranks:
    runtime = replace(Runtime.on(cpu), scratch=folder, ranks=ranks)
    inputs = student_inputs(test_hops.of_hops(), dataset, runtime, out=folder / "x.npy")
    torch.save((ranks.size, inputs), folder / f"{ranks.rank}.pt")
"""


def test_two_processes_equal_one(tmp_path):
    dataset = random_dataset()
    torch.save(dataset, tmp_path / "dataset.pt")
    (tmp_path / "rank.py").write_text(RANK)
    done = together(tmp_path / "rank.py", tmp_path)
    assert done.returncode == 0, done.stderr
    expected = student_inputs(of_hops(), dataset, Runtime.on(CPU))
    for rank in range(2):
        size, written = torch.load(tmp_path / f"{rank}.pt", weights_only=False)
        assert size == 2 and torch.equal(written, expected)
