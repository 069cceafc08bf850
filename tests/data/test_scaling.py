"""Standardized columns, and the hint where some are of another scale."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from infgrand_dgl import InputError
from infgrand_dgl.config.schema import Config, DataConfig
from infgrand_dgl.data import load_source, with_split
from infgrand_dgl.data.prepared import prepare
from infgrand_dgl.data.scaling import Columns, unlike_scales
from infgrand_dgl.data.splits import with_observed
from infgrand_dgl.features.matrix import FeatureMatrix
from infgrand_dgl.system.arrays import map_array

from ..cli.conftest import refused, run

N = 80


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Columns of several scales, far from 0, and a constant one."""
    folder = tmp_path / "g"
    folder.mkdir()
    x = np.random.randn(N, 5) * [1, 30, 0.01, 1, 2] + [0, 1000, 5, 0, -3]
    x[:, 3] = 0.1  # no number of float32
    np.save(folder / "features.npy", x)
    np.save(folder / "edges.npy", np.random.randint(0, N, (200, 2)))
    np.save(folder / "labels.npy", np.arange(N) % 2)
    order = np.random.permutation(N).tolist()
    split = {"train": order[:20], "val": order[20:40], "test": order[40:70]}
    (folder / "splits.json").write_text(json.dumps(split))
    return folder


def settings(folder: Path, **others) -> DataConfig:
    return DataConfig(name="directory", root=str(folder), standardize=True, **others)


def expected(x: np.ndarray, seen: np.ndarray) -> np.ndarray:
    x = x.astype(np.float32).astype(np.float64)
    deviation = x[seen].std(axis=0)
    deviation[np.ptp(x[seen], axis=0) == 0] = np.inf
    return (x - x[seen].mean(axis=0)) / deviation


def test_transductive(folder):
    data = settings(folder)
    x, d = np.load(folder / "features.npy"), load_source(data)
    np.testing.assert_allclose(d.features, expected(x, np.arange(N)), rtol=1e-4, atol=1e-4)
    assert d.features.dtype == torch.float32 and not d.features[:, 3].any()
    assert with_split(d, data, 0).features is d.features


def test_after_rows(folder):
    x = np.abs(np.load(folder / "features.npy"))
    np.save(folder / "features.npy", x)
    d = load_source(settings(folder, row_normalize=True))
    x = x.astype(np.float32)
    rows = x / x.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(d.features, expected(rows, np.arange(N)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("structural", [False, True])
def test_inductive(structural, folder):
    """By the observed nodes alone, whatever the hidden ones hold."""
    data = settings(folder, setting="inductive", features="structural" if structural else None)
    plain = data.model_copy(update={"standardize": False})
    for seed in (0, 1):
        d, raw = (with_split(load_source(c), c, seed) for c in (data, plain))
        seen, view = d.parts.observed, raw.observed_view()
        assert seen is not None and len(seen) < N
        of, all_nodes = view.features.double(), raw.features.double()
        deviation = of.std(dim=0, correction=0)
        deviation[of.amax(0) == of.amin(0)] = torch.inf
        for found, x in ((d.features, all_nodes), (d.observed_view().features, of)):
            scaled = (x - of.mean(dim=0)) / deviation
            torch.testing.assert_close(found.double(), scaled, rtol=1e-3, atol=1e-3)
        assert torch.equal(with_observed(load_source(data), data, seed).features, d.features)


def test_hidden_nodes_have_no_part(folder):
    data = settings(folder, setting="inductive")
    d = with_split(load_source(data), data, 0)
    seen = d.parts.observed
    x = np.load(folder / "features.npy")
    x[d.parts.test] *= -1e4
    np.save(folder / "features.npy", x)
    again = with_split(load_source(data), data, 0)
    assert seen is not None and torch.equal(again.features[seen], d.features[seen])


@pytest.mark.parametrize("rows_at_once", [1, 7, N])
def test_statistics_by_blocks(rows_at_once, monkeypatch):
    x = torch.randn(N, 4) + torch.tensor([0.0, 1e4, -5, 0])
    x[:, 3] = -2.5
    monkeypatch.setattr("infgrand_dgl.features.matrix.BLOCK_BYTES", rows_at_once * 16)
    columns = Columns.of(FeatureMatrix(x))
    torch.testing.assert_close(columns.mean, x.double().mean(0), rtol=1e-12, atol=1e-12)
    deviation = x.double().std(0, correction=0)
    torch.testing.assert_close(columns.deviation, deviation, rtol=1e-9, atol=1e-12)
    assert columns.deviation[3] == 0


def test_sparse_stays_sparse():
    """Divided by what the dense matrix would be, and not centred."""
    matrix = sp.random(N, 30, density=0.05, format="csr") * 7
    matrix = sp.hstack([matrix, np.ones((N, 1)), np.zeros((N, 1))]).tocsr().astype(np.float32)
    x = torch.sparse_csr_tensor(matrix.indptr, matrix.indices, matrix.data, matrix.shape)
    found = Columns.of(FeatureMatrix(x)).applied(x)
    assert found.layout == torch.sparse_csr
    dense = matrix.toarray().astype(np.float64)
    deviation = dense.std(axis=0)
    deviation[np.ptp(dense, axis=0) == 0] = np.inf
    np.testing.assert_allclose(found.to_dense(), dense / deviation, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_prepared(dtype, folder, tmp_path, capsys):
    """Standardized while it is written; elsewhere one line says what to do."""
    data = settings(folder)
    prepare(Config(data=data), tmp_path / "set", dtype=dtype)
    stored = data.model_copy(update={"prepared": str(tmp_path / "set")})
    found = load_source(stored).features
    assert found.dtype == getattr(torch, dtype)
    torch.testing.assert_close(found.float(), load_source(data).features, rtol=2e-3, atol=2e-3)
    with pytest.raises(InputError, match=r"data.standardize: .* prepared with true, found false"):
        load_source(stored.model_copy(update={"standardize": False}))
    hidden = stored.model_copy(update={"setting": "inductive"})
    with pytest.raises(InputError, match=r"data.standardize: true: when inductive, .*prepared out"):
        load_source(hidden)
    (tmp_path / "c.yaml").write_text(Config(data=hidden).to_yaml())
    anew = ("data", "prepare", "--config", tmp_path / "c.yaml", "--out", tmp_path / "other")
    assert "when inductive" in refused(capsys, tmp_path, *anew)


def test_written_part_by_part(tmp_path, monkeypatch):
    monkeypatch.setattr("infgrand_dgl.data.synthetic.IN_MEMORY_EDGES", 100)
    data = DataConfig(name="synthetic", style="arxiv", nodes=900, standardize=True)
    with pytest.raises(InputError, match="data.standardize: true: synthetic of this size"):
        prepare(Config(data=data), tmp_path / "set")


def test_inductive_runs_keep_an_array_a_seed(folder, tmp_path, capsys):
    data = settings(folder, setting="inductive")
    config = Config(method="mlp", data=data).replace("train", epochs=2, seeds=[0, 1])
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    train = ("train", "--config", tmp_path / "c.yaml", "--out", tmp_path / "run", "-q")
    assert run(capsys, *train)[0] == 0
    arrays = []
    for seed in (0, 1):
        arrays.append(np.load(tmp_path / f"run/seed-{seed}/propagated.npy"))
        d = with_split(load_source(data), data, seed)
        np.testing.assert_array_equal(arrays[-1], d.features.numpy())
    assert not np.array_equal(*arrays)
    # A change of the key alone makes all of it anew.
    raw = ("--set", "data.standardize=false", "--overwrite")
    assert run(capsys, *train, *raw)[0] == 0
    x = np.load(tmp_path / "run/propagated.npy")
    np.testing.assert_array_equal(x, np.load(folder / "features.npy").astype(np.float32))


def many(scale: float) -> np.ndarray:
    x = np.random.rand(N, 9)
    x[:, 4] = np.random.rand(N) * scale
    x[0, 4], x[:, 7], x[:, 8] = scale, 0, 123456  # constant ones say nothing
    return x


@pytest.mark.parametrize("kind", ["dense", "sparse", "half", "mapped"])
@pytest.mark.parametrize("scale", [100, 50_000])
def test_hint(kind, scale, tmp_path):
    x = torch.from_numpy(many(scale)).float()
    if kind == "sparse":
        x[:, 8] = 0
        x *= torch.rand(x.shape) < 0.7
        x[0, 4] = scale
        x = x.to_sparse_csr()
    if kind == "half":
        x[:, 8] = 1000
        x = x.half()
    if kind == "mapped":
        np.save(tmp_path / "x.npy", x.numpy())
        x = map_array(tmp_path / "x.npy")
    hint = unlike_scales(FeatureMatrix(x))
    if scale == 100:
        assert hint is None
    else:
        assert hint is not None and hint.startswith(f"features: column 4 reaches {scale:.3g}")


def test_hint_of_two_columns_and_of_one():
    x = torch.rand(N, 2) * torch.tensor([1.0, 1e6])
    assert "column 1 " in (unlike_scales(FeatureMatrix(x)) or "")
    assert unlike_scales(FeatureMatrix(x[:, 1:])) is None
    assert unlike_scales(FeatureMatrix(torch.ones(N, 3))) is None


def test_hint_is_told(folder, tmp_path, capsys):
    """By `train` and `data describe`, unless columns are standardized."""
    x = np.load(folder / "features.npy")
    x[:, 1] *= 1e6
    np.save(folder / "features.npy", x)
    own = ("--config", "own", "--set", f"data.root={folder}")
    fast = ("train.epochs=1", "train.seeds=[0]", "teacher.hidden=8", "student.hidden=8")
    told = "features: column 1 reaches"
    for command in (("data", "describe"), ("train",)):
        out = ("--out", tmp_path / "run", "--overwrite") if command == ("train",) else ()
        status, output, err = run(capsys, *command, *own, *fast, *out)
        assert status == 0, err
        assert output.count(told) == 1 and "data.standardize: true" in output
        status, output, err = run(capsys, *command, *own, *fast, "data.standardize=true", *out)
        assert status == 0 and told not in output, err
