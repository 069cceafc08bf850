"""Prepared datasets: what comes back, what is refused, and what is left behind."""

import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.config.schema import DataConfig
from infgrand_dgl.data import load_source, prepared, store, synthetic, with_split
from infgrand_dgl.system.memory import resident
from tests.data.generated import DENSE, config, opened

ROUNDING = {"float32": 0.0, "float16": 2**-11, "bfloat16": 2**-8}


def same_split(a, b):
    assert [p.tolist() for p in (a.train, a.val, a.test)] == [
        p.tolist() for p in (b.train, b.val, b.test)
    ]


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("settings", [DENSE, {}], ids=["dense", "sparse"])
def test_round_trip(dtype, settings, tmp_path):
    prepared.prepare(config(**settings), tmp_path / "set", dtype=dtype)
    store.verify(tmp_path / "set")
    source, d = load_source(config(**settings).data), opened(tmp_path / "set", **settings)
    assert torch.equal(d.csr.indptr, source.csr.indptr) and d.csr.symmetric
    assert torch.equal(d.csr.indices, source.csr.indices) and d.csr.indices.dtype == torch.int32
    assert torch.equal(d.labels, source.labels) and d.num_classes == source.num_classes
    same_split(d, source)
    assert d.features.dtype == getattr(torch, dtype) and d.features.layout == torch.strided
    torch.testing.assert_close(
        d.dense_features(), source.dense_features(), rtol=ROUNDING[dtype], atol=1e-7
    )


def test_splits_of_a_seed(tmp_path, folder):
    """Inductive and thinned as in memory, from files that were prepared for neither."""
    seen = {
        **DENSE,
        "setting": "inductive",
        "label_rate": 0.5,
        "label_choice": "high",
        "split_rate": 0.3,
    }
    source, d = load_source(config(**seen).data), opened(folder, **seen)
    a, b = (with_split(each, config(**seen).data, 5) for each in (source, d))
    same_split(a, b)
    assert torch.equal(a.observed_view().csr.indices, b.observed_view().csr.indices)
    assert torch.equal(a.observed_view().features, b.observed_view().features)


def test_set_without_a_split_of_its_own(tmp_path, monkeypatch):
    source = replace(load_source(config(nodes=3000, features=30).data), split=None)
    monkeypatch.setattr(prepared, "load_original", lambda data: source)
    prepared.prepare(config(nodes=3000, features=30), tmp_path / "set")
    d = opened(tmp_path / "set", nodes=3000, features=30)
    assert d.split is None and not (tmp_path / "set/train.npy").exists()
    for seed in (1, 2):
        same_split(*(with_split(each, config().data, seed) for each in (source, d)))


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_several_labels_and_numbers(task, tmp_path, monkeypatch):
    """Back as they were, in rows of several files' blocks; a task is checked, not compared."""
    source = load_source(config(**DENSE).data)
    labels = torch.randint(2, (source.num_nodes, 112)).float()
    labels[torch.rand_like(labels) < 0.1] = torch.nan
    changes = {"labels": labels, "num_classes": 112, "task": task, "lacks": None}
    source = replace(source, **changes, classes=tuple(f"l{c}" for c in range(112)))
    monkeypatch.setattr(prepared, "load_original", lambda data: source)
    monkeypatch.setattr(store, "BLOCK_BYTES", 10_000)
    prepared.prepare(config(**DENSE), tmp_path / "set")
    store.verify(tmp_path / "set")
    for asked in ("auto", task):
        d = opened(tmp_path / "set", **DENSE, task=asked)
        assert d.task == task and d.num_classes == 112 and d.classes == source.classes
        np.testing.assert_array_equal(d.labels.numpy(), labels.numpy())
    with pytest.raises(InputError, match=f"prepared with labels of {task}, found classification"):
        opened(tmp_path / "set", **DENSE, task="classification")


def test_fingerprint(folder, tmp_path):
    source, d = load_source(config(**DENSE).data), opened(folder, **DENSE)
    assert source.fingerprint == load_source(config(**DENSE).data).fingerprint
    assert d.fingerprint == opened(folder, **DENSE).fingerprint
    other = load_source(config(**DENSE, seed=1).data)
    thin = DataConfig(name="synthetic", label_rate=0.5)
    found = [source, d, other, with_split(source, thin, 1), with_split(d, thin, 1)]
    assert len({each.fingerprint for each in found}) == 5
    assert re.fullmatch("[0-9a-f]{32}", d.fingerprint)


def test_opening_reads_no_array(folder):
    """Features of 40 GB that are a hole in the file: reading them would take that memory."""
    path, manifest = folder / "features.npy", json.loads((folder / "manifest.json").read_text())
    rows = 10**9
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, 10)}
        np.lib.format.write_array_header_1_0(file, header)
        size = file.tell() + rows * 40
        try:
            os.truncate(path, size)
        except OSError:
            pytest.skip("this file system has no sparse files")
    for name in ("labels", "indptr"):  # as many rows, also holes
        entry = manifest["arrays"][name]
        with (folder / entry["file"]).open("wb") as file:
            count = rows + (name == "indptr")
            header = {"descr": "<i8", "fortran_order": False, "shape": (count,)}
            np.lib.format.write_array_header_1_0(file, header)
            entry |= {"shape": [count], "bytes": file.tell() + count * 8}
            os.truncate(folder / entry["file"], entry["bytes"])
    manifest["arrays"]["features"] |= {"shape": [rows, 10], "bytes": size}
    manifest |= {"nodes": rows, "features": 10}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    before = resident()
    d = opened(folder, **DENSE)
    assert len(d.fingerprint) == 32 and d.num_nodes == rows
    assert resident() - before < 100e6


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"seed": 3}, r"data.seed: .* was prepared with 0, found 3"),
        ({"degree": 5.0}, r"data.degree: .* was prepared with null, found 5.0"),
        ({"style": "products"}, r'data.style: .* was prepared with "arxiv", found "products"'),
    ],
)
def test_another_configuration(settings, told, folder):
    with pytest.raises(InputError, match=told):
        opened(folder, **{**DENSE, **settings})


def test_overflow(tmp_path, monkeypatch):
    source = load_source(config(**DENSE).data)
    source.features[7, 3] = 1e6
    monkeypatch.setattr(prepared, "load_original", lambda data: source)
    with pytest.raises(InputError, match="--dtype float16: .* overflow in row 7; bfloat16"):
        prepared.prepare(config(**DENSE), tmp_path / "set", dtype="float16")
    assert list(tmp_path.iterdir()) == []
    prepared.prepare(config(**DENSE), tmp_path / "set", dtype="bfloat16")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("streamed", [False, True])
def test_interrupted_leaves_nothing(error, streamed, tmp_path, monkeypatch):
    def fail(*args):
        raise error

    monkeypatch.setattr(synthetic, "IN_MEMORY_EDGES", 0 if streamed else 1 << 40)
    monkeypatch.setattr(store.Store, "features", fail)
    told = pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else InputError)
    with told as found:
        prepared.prepare(config(**DENSE), tmp_path / "new/set")
    assert list(tmp_path.iterdir()) == []
    if isinstance(error, OSError):
        assert "cannot be written (No space left on device)" in str(found.value)


def test_overwrite(folder, tmp_path):
    with pytest.raises(InputError, match="exists and is not empty; --overwrite replaces it"):
        prepared.prepare(config(**DENSE), folder)
    prepared.prepare(config(**DENSE), folder, dtype="float16", overwrite=True)
    assert opened(folder, **DENSE).features.dtype == torch.float16
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="would delete notes.txt, no part of a prepared dataset"):
        prepared.prepare(config(**DENSE), folder, overwrite=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/metrics.json").write_text("{}")
    with pytest.raises(InputError, match="replaces a prepared dataset, and this is none"):
        prepared.prepare(config(**DENSE), tmp_path / "other", overwrite=True)
