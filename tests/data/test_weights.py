"""Edge weights in a dataset: kept, told apart and described, wherever its arrays go."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from infgrand_dgl.config.schema import Config, DataConfig
from infgrand_dgl.data import load_source, store, with_split
from infgrand_dgl.data.dataset import NodeDataset, Split
from infgrand_dgl.data.prepared import prepare
from infgrand_dgl.data.summary import summarize
from infgrand_dgl.errors import InputError

from ..cli.conftest import run
from .formats import weighted


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A weighted graph with a split."""
    g, weights = weighted.graph()
    path = weighted.own(g, weights, tmp_path)
    split = {part: ids.tolist() for part, ids in g.split.items()}
    (path / "splits.json").write_text(json.dumps(split))
    return path


def config(folder: Path, **settings: object) -> Config:
    data = {"name": "directory", "root": str(folder), **settings}
    return Config(data=DataConfig(**data))  # type: ignore[arg-type]


def weights_of(dataset: NodeDataset) -> torch.Tensor:
    assert dataset.csr.weights is not None
    return dataset.csr.weights


def entries(dataset: NodeDataset) -> dict[tuple[int, int], float]:
    rows = torch.repeat_interleave(dataset.csr.row_lengths).tolist()
    pairs = zip(rows, dataset.csr.indices.tolist(), strict=True)
    return dict(zip(pairs, weights_of(dataset).tolist(), strict=True))


def test_prepared(folder, tmp_path, capsys):
    """`weights.npy` is one of the arrays: checked, verified, and part of the fingerprint."""
    made, out = config(folder), tmp_path / "prepared"
    prepare(made, out)
    source, d = load_source(made.data), load_source(config(folder, prepared=str(out)).data)
    assert torch.equal(weights_of(d), weights_of(source))
    assert torch.equal(d.csr.indices, source.csr.indices) and d.csr.symmetric
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["arrays"]["weights"]["shape"] == [source.num_edges]
    assert run(capsys, "data", "verify", out)[0] == 0

    for wanted in (True, False):
        with pytest.raises(InputError, match=r"data.weights: .* was prepared with null"):
            load_source(config(folder, prepared=str(out), weights=wanted).data)
    prepare(config(folder, weights=False), tmp_path / "plain")
    plain = load_source(config(folder, weights=False, prepared=str(tmp_path / "plain")).data)
    assert plain.csr.weights is None and not (tmp_path / "plain/weights.npy").exists()
    assert plain.fingerprint != d.fingerprint

    data = bytearray((out / "weights.npy").read_bytes())
    data[-2] ^= 1
    (out / "weights.npy").write_bytes(data)
    with pytest.raises(InputError, match="weights.npy: damaged"):
        store.verify(out)
    manifest["arrays"]["weights"] = manifest["arrays"]["indptr"]
    (out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"weights: expected shape \[\d+\], found \[61\]"):
        load_source(config(folder, prepared=str(out)).data)


def test_fingerprint(folder):
    """Other weights are another graph."""
    d = load_source(config(folder).data)
    assert d.fingerprint == load_source(config(folder).data).fingerprint
    changed = weights_of(d).clone()
    changed[3] = torch.nextafter(changed[3], torch.tensor(9.0))
    other = replace(d, csr=replace(d.csr, weights=changed))
    plain = replace(d, csr=replace(d.csr, weights=None))
    assert len({each.fingerprint for each in (d, other, plain)}) == 3


def test_what_training_sees(folder):
    """The observed graph has the weights of its own edges."""
    data = config(folder, setting="inductive", split_rate=0.5).data
    d = with_split(load_source(data), data, seed=3)
    assert d.parts.observed is not None
    view, observed = d.observed_view(), d.parts.observed.tolist()
    whole, seen = entries(d), entries(view)
    number = {node: i for i, node in enumerate(observed)}
    expected = {
        (number[u], number[v]): w for (u, v), w in whole.items() if u in number and v in number
    }
    assert seen == expected and len(seen) < len(whole)
    assert [v.dataset.csr.weights is not None for v in d.views()] == [True, True]


def test_described(folder, capsys):
    d = load_source(config(folder).data)
    off = [w for (u, v), w in entries(d).items() if u != v]
    median = sorted(off)[(len(off) - 1) // 2]
    line = f"edge weights: min {min(off):g}, median {median:g}, max {max(off):g}"
    assert line in summarize(d).lines()
    status, output, _ = run(
        capsys, "data", "describe", "--config", "own", "--set", f"data.root={folder}"
    )
    assert status == 0 and line in output and "weights given" in output
    settings = (f"data.root={folder}", "data.weights=false")
    status, output, _ = run(capsys, "data", "describe", "--config", "own", "--set", *settings)
    assert status == 0 and "weights" not in output


def test_from_arrays():
    """A weighted matrix, in one triangle or both."""
    g, weights = weighted.graph()
    expected = weighted.adjacency(g, weights)
    half = sp.coo_matrix((weights, g.edges.T), expected.shape)
    for matrix in (half, sp.csr_matrix(half + half.T)):
        d = NodeDataset.from_arrays(matrix, g.x, g.y)
        values = (weights_of(d), d.csr.indices, d.csr.indptr)
        np.testing.assert_array_equal(sp.csr_matrix(values, expected.shape).toarray(), expected)
    part = Split(*(torch.from_numpy(g.split[name]) for name in ("train", "val", "test")))
    given = NodeDataset.from_arrays(d.csr, g.x, g.y, part)
    assert torch.equal(weights_of(given), weights_of(d))
    with pytest.raises(InputError, match="weights.*found -2"):
        NodeDataset.from_arrays(
            sp.coo_matrix((np.where(weights > 3, -2, weights), g.edges.T), expected.shape), g.x, g.y
        )


def test_a_source_without_weights():
    with pytest.raises(
        InputError, match="data.weights: expected edge weights, found none in synth"
    ):
        load_source(DataConfig(name="synthetic", nodes=200, weights=True))
    assert load_source(DataConfig(name="synthetic", nodes=200, weights=False)).csr.weights is None


NONE = [
    (
        lambda f: (f / "weights.npy").unlink(),
        r"\(data.weights: true\) in weights.npy or edges.npy, found none",
    ),
    (
        lambda f: np.save(f / "weights.npy", np.ones((4, 2))),
        r"weights.npy: expected edge weights \[",
    ),
    (lambda f: np.save(f / "weights.npy", np.array(["a", "b"])), "weights.npy: expected "),
    (
        lambda f: (f / "weights.npy").write_bytes(b"nothing"),
        "weights.npy: not a readable .npy file",
    ),
]


@pytest.mark.parametrize("number", range(len(NONE)))
def test_refused(number, folder):
    change, told = NONE[number]
    change(folder)
    with pytest.raises(InputError, match=told) as error:
        load_source(config(folder, weights=True).data)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)
    assert load_source(config(folder, weights=False).data).csr.weights is None


def test_a_third_column_beside_weights(folder):
    edges = np.load(folder / "edges.npy")
    np.save(folder / "edges.npy", np.column_stack([edges, np.arange(len(edges))]))
    with pytest.raises(InputError, match="the third column is unclear"):
        load_source(config(folder).data)
    with pytest.raises(InputError, match="once, found some in weights.npy and edges.npy"):
        load_source(config(folder, weights=True).data)
    assert load_source(config(folder, weights=False).data).num_nodes == 60
    np.save(folder / "edges.npy", np.column_stack([edges + 0.5, np.ones(len(edges))]))
    with pytest.raises(InputError, match=re.escape("edges.npy: expected integer node ids")):
        load_source(config(folder, weights=False).data)


def test_directed(folder):
    """`data.edges: directed` wants the reverse of every edge, of the same weight."""
    edges, weights = np.load(folder / "edges.npy"), np.load(folder / "weights.npy")
    expected = load_source(config(folder).data)
    with pytest.raises(InputError, match="edges.npy: .*has no reverse"):
        load_source(config(folder, edges="directed").data)
    np.save(folder / "edges.npy", np.concatenate([edges, edges[:, ::-1]]))
    np.save(folder / "weights.npy", np.concatenate([weights, weights]))
    found = load_source(config(folder, edges="directed").data)
    assert torch.equal(weights_of(found), weights_of(expected))
    weights[0] *= 2
    np.save(
        folder / "weights.npy",
        np.concatenate([weights, np.load(folder / "weights.npy")[len(weights) :]]),
    )
    with pytest.raises(InputError, match="edges.npy: .*and its reverse"):
        load_source(config(folder, edges="directed").data)
