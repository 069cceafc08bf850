import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl._dgl import dgl
from infgrand_dgl.config import DataConfig
from infgrand_dgl.data import load_source

EDGES = np.array([[0, 1], [1, 2], [3, 4], [4, 5], [2, 2], [1, 0]])
N = 7


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "edges.npy", EDGES)
    np.save(tmp_path / "features.npy", np.random.rand(N, 3))
    np.save(tmp_path / "labels.npy", np.array([0, 1, 0, 1, 2, 2, -1]))
    splits = {"train": [0, 1], "val": [2, 3], "test": [4, 5]}
    (tmp_path / "splits.json").write_text(json.dumps(splits))
    return tmp_path


def load(folder: Path, **settings):
    return load_source(DataConfig(name="directory", root=str(folder), **settings))


def pairs(dataset):
    return set(zip(*(ids.tolist() for ids in dataset.graph.edges()), strict=True))


EXPECTED = {(a, b) for u, v in EDGES.tolist() for a, b in ((u, v), (v, u))} | {
    (i, i) for i in range(N)
}


def test_npy(folder):
    d = load(folder)
    assert pairs(d) == EXPECTED
    assert d.num_classes == 3 and d.features.dtype == torch.float32
    assert d.parts.test.tolist() == [4, 5]


@pytest.mark.parametrize("header", [True, False])
def test_csv(folder, header):
    (folder / "edges.npy").unlink()
    pd.DataFrame(EDGES, columns=["source", "target"]).to_csv(
        folder / "edges.csv", index=False, header=header
    )
    assert pairs(load(folder)) == EXPECTED


def test_parquet(folder):
    (folder / "edges.npy").unlink()
    pd.DataFrame(EDGES, columns=["source", "target"]).to_parquet(folder / "edges.parquet")
    assert pairs(load(folder)) == EXPECTED


def test_dgl_file_with_and_without_the_other_files(folder):
    (folder / "edges.npy").unlink()
    graph = dgl.graph((torch.from_numpy(EDGES[:, 0]), torch.from_numpy(EDGES[:, 1])), num_nodes=N)
    dgl.save_graphs(str(folder / "graph.bin"), [graph])
    assert pairs(load(folder)) == EXPECTED

    graph.ndata["feat"] = torch.rand(N, 2)
    graph.ndata["label"] = torch.tensor([0, 1, 0, 1, 0, 1, 0])
    for part, ids in (("train", [0, 1]), ("val", [2, 3]), ("test", [4, 5])):
        mask = torch.zeros(N, dtype=torch.bool)
        mask[ids] = True
        graph.ndata[f"{part}_mask"] = mask
    dgl.save_graphs(str(folder / "graph.bin"), [graph])
    for file in ("features.npy", "labels.npy", "splits.json"):
        (folder / file).unlink()
    d = load(folder)
    assert d.num_features == 2 and d.parts.val.tolist() == [2, 3]


def test_directed_must_list_every_reverse(folder):
    with pytest.raises(InputError, match="has no reverse.*data.edges: undirected"):
        load(folder, edges="directed")
    np.save(folder / "edges.npy", np.concatenate([EDGES, EDGES[:, ::-1]]))
    assert pairs(load(folder, edges="directed")) == EXPECTED


def test_row_normalize(folder):
    rows = load(folder, row_normalize=True).features.sum(dim=1)
    torch.testing.assert_close(rows, torch.ones(N))


def change_splits(folder, **parts):
    path = folder / "splits.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **parts}))


BAD = {
    "edge id >= N": (
        lambda f: np.save(f / "edges.npy", [[0, 1], [2, 7]]),
        r"edges.npy: expected node ids 0 to 6 .*found edge 2, 7 in row 1",
    ),
    "negative edge id": (
        lambda f: np.save(f / "edges.npy", [[0, -1]]),
        "found edge 0, -1 in row 0",
    ),
    "float edge list": (
        lambda f: np.save(f / "edges.npy", [[0.0, 1.0]]),
        "edges.npy: expected integer node ids, found float64",
    ),
    "edge weights": (
        lambda f: np.save(f / "edges.npy", [[0, 1, 1]]),
        r"expected shape \[E, 2\], found \[1, 3\]; edge weights are not supported",
    ),
    "corrupt edges": (
        lambda f: (f / "edges.npy").write_bytes(b"\x93NUMPY broken"),
        "edges.npy: not readable",
    ),
    "no edges": (lambda f: (f / "edges.npy").unlink(), "expected one of edges.npy.*found none"),
    "two edge files": (
        lambda f: (f / "edges.csv").write_text("0,1\n"),
        "found edges.npy and edges.csv",
    ),
    "mismatched feature rows": (
        lambda f: np.save(f / "labels.npy", np.zeros(9, dtype=int)),
        r"labels: expected shape \[7\], found \[9\]",
    ),
    "NaN features": (
        lambda f: np.save(f / "features.npy", np.full((N, 2), np.nan)),
        "features: expected finite numbers, found NaN or infinity in row 0",
    ),
    "infinite features": (
        lambda f: np.save(f / "features.npy", np.where(np.eye(N, 2) > 0, np.inf, 1.0)),
        "features: expected finite numbers",
    ),
    "text features": (
        lambda f: np.save(f / "features.npy", np.full((N, 2), "a")),
        r"features.npy: expected numbers \[N, D\], found <U1",
    ),
    "missing features": (lambda f: (f / "features.npy").unlink(), "features.npy: no such file"),
    "corrupt features": (
        lambda f: (f / "features.npy").write_bytes(b"nonsense"),
        "features.npy: not a readable .npy file",
    ),
    "label out of range": (
        lambda f: np.save(f / "labels.npy", [0, 1, 0, 1, 2, 2, -2]),
        "labels: expected 0 to 2, or -1 for none; found -2 at node 6",
    ),
    "float labels": (
        lambda f: np.save(f / "labels.npy", np.zeros(N)),
        "labels.npy: expected integers, found float64",
    ),
    "empty train split": (
        lambda f: change_splits(f, train=[]),
        "split train: expected at least one node, found none",
    ),
    "split id >= N": (
        lambda f: change_splits(f, test=[7]),
        "split test: expected ids 0 to 6, found 7",
    ),
    "overlapping splits": (lambda f: change_splits(f, val=[0]), "node 0 is in the splits twice"),
    "repeated split id": (lambda f: change_splits(f, val=[2, 2]), "node 2 is in the splits twice"),
    "unlabelled split node": (lambda f: change_splits(f, test=[6]), "node 6 has no label"),
    "float split": (lambda f: change_splits(f, val=[2.5]), "splits.json: val: expected a list"),
    "no split": (lambda f: (f / "splits.json").unlink(), "splits.json: no such file"),
    "broken split": (lambda f: (f / "splits.json").write_text("{"), "splits.json: not valid JSON"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case, folder):
    break_it, told = BAD[case]
    break_it(folder)
    with pytest.raises(InputError, match=told) as error:
        load(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


def test_bad_dgl_file(folder):
    (folder / "edges.npy").unlink()
    (folder / "graph.bin").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="graph.bin: not a graph saved by DGL"):
        load(folder)
    graph = dgl.graph(([0], [1]), num_nodes=N)
    graph.edata["weight"] = torch.ones(1)
    dgl.save_graphs(str(folder / "graph.bin"), [graph])
    with pytest.raises(InputError, match="edge weights are not supported, found edata 'weight'"):
        load(folder)
    dgl.save_graphs(str(folder / "graph.bin"), [dgl.graph(([0], [1]), num_nodes=3)])
    with pytest.raises(InputError, match="features.npy: expected 3 rows.*found 7"):
        load(folder)


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match="data.root: no such folder"):
        load(tmp_path / "gone")
