"""The format of prepared datasets: what is written, and which damage is noticed."""

import json
import os
import zlib

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.cli import main
from infgrand_dgl.data import store
from infgrand_dgl.data.store import Store, open_array, read_manifest
from infgrand_dgl.present.console import Reporter
from tests.data.generated import DENSE, opened


@pytest.mark.parametrize("count", [1000, 100, 0])
def test_array_in_blocks(count, tmp_path, monkeypatch):
    """NumPy's file of the whole, whatever the blocks; the checksum is of its bytes."""
    monkeypatch.setattr(store, "BLOCK_BYTES", 800)
    values = torch.randint(1 << 40, (count,))
    folder = Store(tmp_path, "float32", Reporter(quiet=True))
    folder.put("numbers", values)
    entry = folder.arrays["numbers"]
    assert np.array_equal(np.load(tmp_path / "numbers.npy"), values.numpy())
    assert entry == {
        "file": "numbers.npy",
        "dtype": "int64",
        "shape": [count],
        "bytes": (tmp_path / "numbers.npy").stat().st_size,
        "crc32": f"{zlib.crc32(values.numpy().tobytes()):08x}",
    }
    assert torch.equal(open_array(tmp_path, entry), values)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_features_in_blocks(dtype, tmp_path):
    x = torch.randn(100, 5)
    folder = Store(tmp_path, dtype, Reporter(quiet=True))
    folder.features(x.split(33), *x.shape)
    entry = folder.arrays["features"]
    assert (entry["dtype"], entry["shape"]) == (dtype, [100, 5])
    assert torch.equal(open_array(tmp_path, entry), x.to(getattr(torch, dtype)))


def test_manifest_comes_last(tmp_path):
    folder = Store(tmp_path, "float32", Reporter(quiet=True))
    counts = {"name": "a", "nodes": 1, "edges": 1, "features": 1, "classes": 1, "provenance": {}}
    with pytest.raises(InputError, match="expected a folder made by .*data prepare"):
        read_manifest(tmp_path)
    folder.write_manifest(counts, {"seed": 1})
    expected = {"format": store.FORMAT, **counts, "arrays": {}, "data": {"seed": 1}}
    assert read_manifest(tmp_path) == expected


def cut(path):
    path.write_bytes(path.read_bytes()[:-8])


def flip(path):
    whole = bytearray(path.read_bytes())
    whole[-5] ^= 1
    path.write_bytes(whole)


def rewrite(**changes):
    def change(path):
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


DAMAGE = {
    "truncated": ("indices.npy", cut, r"indices.npy: expected \d+ bytes, found \d+"),
    "missing": ("labels.npy", os.unlink, "labels.npy: no such file"),
    "other shape": (
        "features.npy",
        lambda path: np.save(path, np.load(path).reshape(450, 40)),
        r"features.npy: expected float32 \[900, 20\], found float32 \[450, 40\]",
    ),
    "other type": (
        "features.npy",
        lambda path: np.save(path, np.load(path).view(np.int32)),
        "features.npy: expected float32 .*found int32",
    ),
    "column by column": (
        "features.npy",
        lambda path: np.save(path, np.asfortranarray(np.load(path))),
        "features.npy: expected float32",
    ),
    "no array": (
        "train.npy",
        lambda path: path.write_bytes(b"x" * path.stat().st_size),
        "train.npy: not a readable .npy file",
    ),
    "no manifest": ("manifest.json", os.unlink, "expected a folder made by .*data prepare"),
    "broken manifest": (
        "manifest.json",
        lambda path: path.write_text("{"),
        "manifest.json: not a manifest written by data prepare",
    ),
    "manifest of something else": (
        "manifest.json",
        lambda path: path.write_text("[1]"),
        "manifest.json: not a manifest written by data prepare",
    ),
    "later format": ("manifest.json", rewrite(format=2), "expected format 1, found 2"),
    "other counts": (
        "manifest.json",
        rewrite(nodes=901),
        r"manifest.json: indptr: expected shape \[902\], found \[901\]",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_told(case, folder):
    file, damage, told = DAMAGE[case]
    damage(folder / file)
    with pytest.raises(InputError, match=told) as error:
        opened(folder, **DENSE)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


@pytest.mark.parametrize("file", ["indptr", "indices", "features", "labels", "train"])
def test_verify_finds_a_changed_byte(file, folder, capsys):
    assert main(["data", "verify", str(folder)]) == 0
    assert capsys.readouterr().out.endswith(f"{folder}: ok\n")
    flip(folder / f"{file}.npy")
    opened(folder, **DENSE)
    assert main(["data", "verify", str(folder)]) == 2
    assert f"{file}.npy: damaged: expected checksum" in capsys.readouterr().err
