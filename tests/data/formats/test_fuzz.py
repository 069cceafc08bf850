"""Damaged files: each loads, or is refused in one line; none is changed, and nothing is left."""

import os
import random
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.io import loadmat, savemat

from ...cli.conftest import run
from . import weighted
from .layouts import LAYOUTS, beside, graph, ordered
from .weighted import NAMED, UNCLEAR

# INFGRAND_TEST_FUZZ=2000 for a long run.
MUTATIONS = int(os.environ.get("INFGRAND_TEST_FUZZ", "12"))
TEXTS = [b"", b"-1", b"nan", b"1e400", b"99999999999999999999", b"2.5", b"x", b'"', b"\t", b",",
         b"\n", b"\x00", b"\xff\xfe", b"[", b"{", b"0", b"1", b"#", b"null", b"true"]  # fmt: skip


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes changed, cut, doubled, or a word of them replaced."""
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice([1, 1, 4, 50]))
        words = [m.span() for m in re.finditer(rb"[\w.+-]+", data[at : at + 400])]
        way = rng.randrange(6)
        if way == 0:
            data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        elif way == 1:
            data = data[:at] if rng.random() < 0.3 else data[:at] + data[end:]
        elif way == 2:
            data = data[:end] + data[at:]
        elif way == 3:
            data = data[:at] + rng.choice(TEXTS) + data[at:]
        elif words:
            begin, stop = rng.choice(words)
            data = data[: at + begin] + rng.choice(TEXTS) + data[at + stop :]
    return data


def other_array(array: np.ndarray, rng: random.Random) -> np.ndarray:
    """Of another shape or type, or with other values."""
    ways = [
        lambda a: a.astype(rng.choice([np.float64, np.float16, np.int8, np.uint64, str, bool])),
        lambda a: a[..., None],
        lambda a: a.T,
        lambda a: a.ravel(),
        lambda a: a[: len(a) // 2] if a.ndim else a,
        lambda a: a[:0] if a.ndim else a,
        lambda a: np.concatenate([a, a]) if a.ndim else a,
        lambda a: np.array(rng.choice([0, -1, 2**62, np.nan, "x"])),
        lambda a: a - 1 if a.dtype.kind in "if" else a,
        lambda a: np.where(np.random.rand(*a.shape) < 0.1, rng.choice([-1, 2**40, 7]), a),
        lambda a: np.where(np.random.rand(*a.shape) < 0.1, rng.choice([np.nan, np.inf, 0.5]), a),
    ]
    return rng.choice(ways)(array)


def damage(path: Path, rng: random.Random) -> None:
    if path.suffix == ".npz" and rng.random() < 0.7:  # a change of bytes is found by its checksum
        with np.load(path, allow_pickle=True) as archive:
            arrays = dict(archive)
        name = rng.choice(sorted(arrays))
        if rng.random() < 0.2:
            del arrays[name]
        elif arrays[name].dtype.kind in "biuf":
            arrays[name] = other_array(arrays[name], rng)
        if arrays:
            np.savez(path, allow_pickle=True, **arrays)
        return
    if path.suffix == ".pt" and rng.random() < 0.7:
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        name = rng.choice(sorted(parts))
        parts[name] = damaged(parts[name], rng)
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in parts.items():
                archive.writestr(name, data)
        return
    if path.suffix == ".mat" and rng.random() < 0.4:
        variables = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
        name = rng.choice(sorted(variables))
        value = variables.pop(name)
        if rng.random() < 0.8:
            variables[name] = other_array(value.toarray() if sp.issparse(value) else value, rng)
        savemat(path, variables)
        return
    path.write_bytes(damaged(path.read_bytes(), rng))


@pytest.mark.parametrize("form", LAYOUTS)
def test_damaged(form, tmp_path, capsys):
    folder = tmp_path / "given"
    folder.mkdir()
    source = LAYOUTS[form](ordered(graph()) if form == "planetoid" else graph(), folder)
    assert refused_of(form, source, tmp_path, beside(form, folder), capsys) > 0


WEIGHTED = {**{form: (layout, []) for form, layout in NAMED.items()}, **UNCLEAR}


@pytest.mark.parametrize("form", WEIGHTED)
def test_damaged_with_weights(form, tmp_path, capsys):
    folder = tmp_path / "given"
    folder.mkdir()
    layout, said = WEIGHTED[form]
    source = layout(*weighted.graph(), folder)
    said = [*said, *beside(form.split()[0], folder)]
    assert refused_of(form, source, tmp_path, said, capsys) > 0


def refused_of(form: str, source: Path, tmp_path: Path, options: list[str], capsys: Any) -> int:
    """How many mutations are refused, in one line each; none does anything else but be imported."""
    rng = random.Random(int(np.random.randint(2**31)))
    folder, out = tmp_path / "given", tmp_path / "out"
    whole = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    outcomes = {0: 0, 2: 0}
    for number in range(MUTATIONS // 3 if "matlab" in form else MUTATIONS):  # a process each
        for path, data in whole.items():
            path.write_bytes(data)
        path = rng.choice(sorted(whole))
        damage(path, rng)
        before = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        target = out / str(number)
        command = ("data", "import", source, "--out", target, "-q", *options)
        status, _, err = run(capsys, *command)
        told = f"{form}, {path.name}, mutation {number}: status {status}, {err}"
        assert status in outcomes, told
        if status == 2:
            assert len(err.splitlines()) == 1 and err.startswith("infgrand-dgl: error: "), told
            assert not target.exists(), told
        after = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        assert after == before, told
        outcomes[status] += 1
    assert [*(out.glob(".*") if out.exists() else ())] == []
    return outcomes[2]
