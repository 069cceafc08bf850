"""Slabs of columns, blocks of rows and several processes give what one process has in memory."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError, influence_scores, propagate_features
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.config.schema import Config
from infgrand_dgl.data import load_dataset
from infgrand_dgl.data.dataset import NodeDataset, Split
from infgrand_dgl.features.matrix import FeatureMatrix
from infgrand_dgl.influence.compute import influence
from infgrand_dgl.influence.cosine import cosine_influence
from infgrand_dgl.ops import propagation_steps
from infgrand_dgl.propagation.equation import Propagation
from infgrand_dgl.propagation.inputs import student_inputs
from infgrand_dgl.propagation.memory import slabs_of
from infgrand_dgl.propagation.streamed import propagate_slabs
from infgrand_dgl.system.arrays import map_array, new_array
from infgrand_dgl.system.memory import Budget
from infgrand_dgl.system.ranks import ALONE
from infgrand_dgl.system.runtime import Runtime
from tests.conftest import random_undirected
from tests.processes import together

CPU = torch.device("cpu")
NONE = Budget(1, 1)


def random_dataset(
    nodes: int = 500, width: int = 50, weighted: bool = False, **changes
) -> NodeDataset:
    csr = random_undirected(nodes, 4 * nodes, weighted=weighted)
    x = torch.randn(nodes, width)
    three = torch.randperm(nodes).split(-(-nodes // 3))
    made = NodeDataset("random", csr, x, torch.zeros(nodes).long(), 2, Split(*three), {})
    return replace(made, **changes)


def settings(*overrides: str) -> Config:
    return load_config("demo", overrides)


@pytest.fixture
def in_pieces(monkeypatch):
    """Nothing fits whole: slabs of 16 columns, blocks of 64 rows to read and of 150 to compare."""
    monkeypatch.setattr("infgrand_dgl.features.matrix.BLOCK_BYTES", 64 * 50 * 4)
    monkeypatch.setattr(Budget, "fits", lambda *_: False)
    monkeypatch.setattr(Budget, "require", lambda *_: None)
    for module in ("propagation.inputs", "influence.streamed"):
        monkeypatch.setattr(f"infgrand_dgl.{module}.slab_width", lambda *_: 16)
    monkeypatch.setattr("infgrand_dgl.influence.streamed.block_rows", lambda *_: 150)


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("w", [1.0, 2.0])
@pytest.mark.parametrize("hops", [0, 1, 3])
@pytest.mark.parametrize("pooling", ["mean", "max", "min"])
@pytest.mark.parametrize("weighted", [False, True])
def test_slabs_equal_the_whole(weighted, pooling, hops, w, dtype, mapped, device, tmp_path):
    csr, x = random_undirected(300, 900, weighted=weighted), torch.randn(300, 37).to(dtype)
    expected = propagate_features(csr, x.float(), hops=hops, pooling=pooling, self_loop_weight=w)
    if mapped:
        np.save(tmp_path / "x.npy", x.numpy())
        x = map_array(tmp_path / "x.npy")
    for width in (5, 8, 16, 32, 37):
        out = new_array(tmp_path / "out.npy", (300, 37)) if mapped else torch.empty(x.shape)
        slabs = list(slabs_of(37, width, ALONE))
        propagation, features = Propagation(hops, w, pooling), FeatureMatrix(x)
        propagate_slabs(csr, propagation, features, out, slabs, torch.device(device))
        torch.testing.assert_close(out, expected)
        if mapped:
            assert torch.equal(out, torch.from_numpy(np.load(tmp_path / "out.npy")))


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "sparse"])
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_student_inputs_in_pieces(weighted, kind, named, device, tmp_path):
    dataset = random_dataset(weighted=weighted)
    if kind == "sparse":
        x = (dataset.features * (torch.rand(500, 50) < 0.2)).to_sparse_csr()
    else:
        x = dataset.features.to(getattr(torch, kind))
    config, out = settings("propagation.pooling=max"), tmp_path / "new" / "x.npy"
    steps: list[tuple[int, int | None]] = []
    runtime = replace(Runtime.on(device), progress=lambda *done: steps.append(done))
    found = student_inputs(
        config, replace(dataset, features=x), runtime, out=out if named else None
    )
    dense = (x.to_dense() if kind == "sparse" else x).float()
    expected = propagate_features(dataset.csr, dense, hops=config.propagation.hops, pooling="max")
    assert found.dtype == (torch.float16 if kind == "float16" else torch.float32)
    torch.testing.assert_close(found, expected.to(found.dtype))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert out.exists() == named
    if named:
        assert [file.name for file in out.parent.iterdir()] == ["x.npy"]
        assert np.array_equal(np.load(out), found.numpy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("inductive", ["strict", "authors"])
def test_inductive_in_pieces(inductive, dtype, request, device, tmp_path):
    config = settings(
        "data.setting=inductive",
        f"influence.inductive={inductive}",
        "data.nodes=900",
        "data.features=50",
    )
    dataset = load_dataset(config)
    dataset = replace(dataset, features=dataset.dense_features().to(dtype))
    runtime = Runtime.on(device)
    scores = influence(config, dataset, runtime).scores
    inputs = student_inputs(config, dataset, runtime)
    request.getfixturevalue("in_pieces")
    again = student_inputs(config, dataset, runtime, out=tmp_path / "x.npy")
    assert again.dtype == dtype == inputs.dtype
    torch.testing.assert_close(again, inputs.cpu())
    again = influence(config, dataset, runtime).scores
    torch.testing.assert_close(again, scores, rtol=0, atol=1e-6, equal_nan=True)


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("hops", [0, 2])
@pytest.mark.parametrize("normalization", ["minmax", "max", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_influence_in_pieces(weighted, normalization, hops, signed, device, tmp_path):
    dataset = random_dataset(weighted=weighted)
    x = dataset.features if signed else dataset.features.abs()
    x[7] = 0
    config = settings(f"influence.normalization={normalization}", f"influence.hops={hops}")
    steps: list[tuple[int, int | None]] = []
    runtime = replace(
        Runtime.on(device), scratch=tmp_path, progress=lambda *done: steps.append(done)
    )
    found = influence(config, replace(dataset, features=x), runtime)
    whole = cosine_influence(
        dataset.csr.to(device), x.to(device), hops=hops, normalization=normalization
    )
    torch.testing.assert_close(found.scores.cpu(), whole.scores.cpu(), rtol=1e-6, atol=1e-6)
    assert steps == [(k + 1, len(steps)) for k in range(len(steps))]
    assert not list(tmp_path.iterdir())
    if whole.minimum is not None and found.minimum is not None:
        assert abs(found.minimum.value - whole.minimum.value) < 1e-6
        i, j = found.minimum.pair
        y = next(islice(propagation_steps(dataset.csr, x, 1.0), hops - 1, None)) if hops else x
        cosine = torch.nn.functional.cosine_similarity(x[i], y[j], dim=0)
        assert abs(float(cosine) - found.minimum.value) < 1e-6


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("scale", [1e-36, 1e37])
def test_scale_makes_no_difference_in_pieces(scale):
    dataset = random_dataset()
    x = dataset.features.abs() / dataset.features.abs().max()
    found = influence(settings(), replace(dataset, features=scale * x), Runtime.on(CPU))
    torch.testing.assert_close(found.scores, influence_scores(dataset.csr, x))


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
@pytest.mark.parametrize("function", [influence, student_inputs])
def test_features_that_are_not_finite(function, value):
    dataset = random_dataset()
    dataset.features[333, 4] = value
    with pytest.raises(InputError, match="found NaN or infinity in row 333"):
        function(settings(), dataset, Runtime.on(CPU))


def test_blocked_is_refused_where_it_does_not_fit():
    config = settings("influence.algorithm=blocked")
    with pytest.raises(InputError, match="resources.memory: .* too little to form all pairs"):
        influence(config, random_dataset(), Runtime(CPU, NONE))


@pytest.mark.parametrize(
    ("function", "hops", "purpose"),
    [(student_inputs, 2, "propagate"), (influence, 2, "propagate"), (influence, 0, "compare")],
)
def test_too_small_a_budget_says_what_would_do(function, hops, purpose, device):
    config = settings(f"influence.hops={hops}")
    told = f"{purpose} 500 rows of 50 features; [0-9.]+[MG]B would do"
    with pytest.raises(InputError, match=f"resources.memory: 0MB are too little to {told}"):
        function(config, random_dataset(), Runtime(torch.device(device), NONE))


def test_the_command_cleans_up(tiny, tmp_path, request):
    from infgrand_dgl.cli import main

    request.getfixturevalue("in_pieces")
    out = tmp_path / "deep" / "i.npy"
    assert main(["influence", "--config", str(tiny), "--out", str(out)]) == 0
    assert np.isfinite(np.load(out)).all()
    assert [file.name for file in out.parent.iterdir()] == ["i.npy"]


RANK = """
import os
import sys
from dataclasses import replace
from pathlib import Path
import torch
from infgrand_dgl import InputError
from infgrand_dgl.system.ranks import joined
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.ops import propagation_steps
from infgrand_dgl.influence.compute import influence
from infgrand_dgl.propagation.inputs import student_inputs
from tests.propagation import test_streamed

folder, cpu = Path(sys.argv[1]), torch.device("cpu")
dataset, config = torch.load(folder / "dataset.pt", weights_only=False), test_streamed.settings()
with joined(cpu) as ranks:
    assert ranks.size == 2
    runtime = replace(Runtime.on(cpu), scratch=folder, ranks=ranks)
    found = influence(config, dataset, runtime)
    inputs = student_inputs(config, dataset, runtime, out=folder / "x.npy")
    torch.save((found, inputs), folder / f"{ranks.rank}.pt")
    dataset.features[450, 0] = torch.nan  # in the share of the second process
    try:
        student_inputs(config, dataset, runtime, out=folder / "never.npy")
    except InputError as error:
        assert "in row 450" in str(error)
    else:
        sys.exit(1)
"""


@pytest.mark.parametrize("weighted", [False, True])
def test_two_processes_equal_one(weighted, tmp_path):
    # Dense enough that nobody is alone: of two lonely nodes both orders attain the minimum.
    dataset = random_dataset(csr=random_undirected(500, 8 * 500, weighted=weighted))
    torch.save(dataset, tmp_path / "dataset.pt")
    (tmp_path / "rank.py").write_text(RANK)
    done = together(tmp_path / "rank.py", tmp_path)
    assert done.returncode == 0, done.stderr
    one = influence(settings(), dataset, Runtime.on(CPU))
    inputs = student_inputs(settings(), dataset, Runtime.on(CPU))
    for rank in range(2):
        found, written = torch.load(tmp_path / f"{rank}.pt", weights_only=False)
        torch.testing.assert_close(found.scores, one.scores, rtol=0, atol=1e-6)
        assert one.minimum and abs(found.minimum.value - one.minimum.value) < 1e-6
        assert found.minimum.pair == one.minimum.pair
        torch.testing.assert_close(written, inputs, rtol=0, atol=1e-6)
    assert not (tmp_path / "never.npy").exists()
    assert {file.suffix for file in tmp_path.iterdir()} == {".pt", ".py", ".npy"}
