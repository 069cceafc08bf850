import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.config.schema import DataConfig
from infgrand_dgl.data import load_source, with_split
from infgrand_dgl.graph.dgl_bridge import dgl

EDGES = np.array([[0, 1], [1, 2], [3, 4], [4, 5], [2, 2], [1, 0]])
N = 7


def written(folder: Path) -> Path:
    np.save(folder / "edges.npy", EDGES)
    np.save(folder / "features.npy", np.random.rand(N, 3))
    np.save(folder / "labels.npy", np.array([0, 1, 0, 1, 2, 2, -1]))
    splits = {"train": [0, 1], "val": [2, 3], "test": [4, 5]}
    (folder / "splits.json").write_text(json.dumps(splits))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path)


def load(folder: Path, seed: int = 0, **settings):
    config = DataConfig(name="directory", root=str(folder), **settings)
    return with_split(load_source(config), config, seed)


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


@pytest.mark.parametrize(
    "first",
    [
        "3,4",
        " 3,4",
        "3, 4",
        '"3","4"',
        '"3", "4" ',
        "+3,4",
        "\ufeff3,4",
        "\n3,4",
        " \n\n3,4\r",
        "source,target\n3,4",
        '\ufeff"source", "target"\n3,4',
        "\n3,target\n3,4",
    ],
)
def test_csv(folder, first):
    (folder / "edges.npy").unlink()
    rest = "\n".join(f"{u},{v}" for u, v in np.delete(EDGES, 2, axis=0))
    (folder / "edges.csv").write_text(f"{first}\n{rest}\n", encoding="utf-8")
    assert pairs(load(folder)) == EXPECTED


def test_parquet(folder):
    (folder / "edges.npy").unlink()
    pd.DataFrame(EDGES, columns=["source", "target"]).to_parquet(folder / "edges.parquet")
    assert pairs(load(folder)) == EXPECTED


@pytest.fixture
def several(folder):
    """The folder with three splits as masks of graph.bin, and the masks."""
    graph = dgl.graph((torch.from_numpy(EDGES[:, 0]), torch.from_numpy(EDGES[:, 1])), num_nodes=N)
    owner = torch.tensor(
        [[0, 1, 2], [0, 2, 1], [1, 0, 0], [1, 0, 2], [2, 1, 0], [2, 2, 1], [3] * 3]
    )
    masks = {part: owner == k for k, part in enumerate(("train", "val", "test"))}
    graph.ndata.update({f"{part}_mask": mask.byte() for part, mask in masks.items()})
    dgl.save_graphs(str(folder / "graph.bin"), [graph])
    for file in ("edges.npy", "splits.json"):
        (folder / file).unlink()
    return folder, masks


@pytest.mark.parametrize("setting", ["0", "2", "seed"])
def test_several_splits(setting, several):
    """One of them by its number, or by the seed's."""
    folder, masks = several
    for seed in (0, 5):
        split = setting if setting == "seed" else int(setting)
        d = load(folder, seed, split=split)
        k = seed % 3 if split == "seed" else split
        for part, mask in masks.items():
            assert getattr(d, part).tolist() == mask[:, k].nonzero().flatten().tolist()


@pytest.mark.parametrize(
    ("setting", "found"), [({}, "null"), ({"split": 3}, "3")], ids=["none", "too large"]
)
def test_several_splits_and_none_chosen(setting, found, several):
    told = rf"data.split: .* has 3 splits, \[7, 3\]: expected 0 to 2 .*or seed .*; found {found}$"
    with pytest.raises(InputError, match=told):
        load(several[0], **setting)


def test_chosen_split_is_part_of_the_fingerprint(several):
    prints = {load(several[0], split=k).fingerprint for k in range(3)}
    assert len(prints) == 3


def test_codes_and_names_of_classes(folder):
    whole = load(folder)
    for codes in (np.array([4, 7, 9, -1]), np.array(["a", "b", "c", ""])):
        np.save(folder / "labels.npy", codes[whole.labels])
        d = load(folder)
        assert torch.equal(d.labels, whole.labels) and d.num_classes == 3
        assert d.classes == tuple(codes[:3].tolist()) and d.class_names == [*map(str, codes[:3])]
        assert d.fingerprint != whole.fingerprint
    assert whole.classes is None and whole.class_names == ["0", "1", "2"]


def test_directed_must_list_every_reverse(folder):
    with pytest.raises(InputError, match="has no reverse.*data.edges: undirected"):
        load(folder, edges="directed")
    np.save(folder / "edges.npy", np.concatenate([EDGES, EDGES[:, ::-1]]))
    assert pairs(load(folder, edges="directed")) == EXPECTED


def test_row_normalize(folder):
    rows = load(folder, row_normalize=True).features.sum(dim=1)
    torch.testing.assert_close(rows, torch.ones(N))


def csv(folder, text, encoding="utf-8"):
    (folder / "edges.npy").unlink()
    (folder / "edges.csv").write_text(text, encoding=encoding)


def npz(path):
    """An archive under the name of an array."""
    with path.open("wb") as file:
        np.savez(file, x=EDGES)


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
    "edge id that wraps": (
        lambda f: np.save(f / "edges.npy", np.array([[0, 1], [0, 2**64 - 1]], np.uint64)),
        "found edge 0, 18446744073709551615 in row 1",
    ),
    "negative edge id in CSV": (lambda f: csv(f, "-1,1\n0,1\n"), "found edge -1, 1 in row 0"),
    "missing edge id in CSV": (
        lambda f: csv(f, "0,\n0,1\n"),
        r"edges.csv: expected a node id as a whole number.*found '' in row 0 \(line 1\)",
    ),
    "text late in CSV": (
        lambda f: csv(f, "0,1\n" * 300_000 + "0,x\n"),
        r"edges.csv: expected node ids 0 to 6 .*found '0', 'x' in row 300000 \(line 300001\)",
    ),
    "weights in CSV": (
        lambda f: csv(f, "source,target\n0,1,1\n"),
        "edges.csv: expected 2 fields a row, as in its header, found 3",
    ),
    "empty CSV": (lambda f: csv(f, ""), "edges.csv: not a readable .csv file"),
    "other encoding in CSV": (
        lambda f: csv(f, "0,1\n", encoding="utf-16"),
        "edges.csv: not a readable .csv file in UTF-8",
    ),
    "float edge list": (
        lambda f: np.save(f / "edges.npy", [[0.0, 1.0]]),
        "edges.npy: expected integer node ids, found float64",
    ),
    "edge weights": (
        lambda f: np.save(f / "edges.npy", [[0, 1, 1]]),
        r"found \[1, 3\]: the third column is unclear; data.weights: true .* takes them as edge w",
    ),
    "corrupt edges": (
        lambda f: (f / "edges.npy").write_bytes(b"\x93NUMPY broken"),
        "edges.npy: not a readable .npy file",
    ),
    "empty edge file": (
        lambda f: (f / "edges.npy").write_bytes(b""),
        "edges.npy: not a readable .npy file",
    ),
    "zip as edges": (
        lambda f: (f / "edges.npy").write_bytes(b"PK\x03\x04 broken"),
        "edges.npy: not a readable .npy file",
    ),
    "npz as edges": (lambda f: npz(f / "edges.npy"), "edges.npy: not a readable .npy file"),
    "npz as features": (
        lambda f: npz(f / "features.npy"),
        "features.npy: not a readable .npy file",
    ),
    "no edges": (
        lambda f: (f / "edges.npy").unlink(),
        "^data.root: .*: expected one of edges.npy.*found none",
    ),
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
        r"features.npy: expected numbers \[N, D\], N and D at least 1, found <U1",
    ),
    "no nodes": (
        lambda f: np.save(f / "features.npy", np.empty((0, 2))),
        r"N and D at least 1, found float64 \[0, 2\]",
    ),
    "no features": (
        lambda f: np.save(f / "features.npy", np.empty((N, 0))),
        r"N and D at least 1, found float64 \[7, 0\]",
    ),
    "features that overflow": (
        lambda f: np.save(f / "features.npy", np.where(np.eye(N, 2, -3) > 0, 1e300, 1.0)),
        "features.npy: expected numbers within float32, found an overflow in row 3",
    ),
    "missing features": (
        lambda f: (f / "features.npy").unlink(),
        r"features.npy: no such file: expected numbers \[N, D\]; data.features: structural",
    ),
    "corrupt features": (
        lambda f: (f / "features.npy").write_bytes(b"nonsense"),
        "features.npy: not a readable .npy file",
    ),
    "label out of range": (
        lambda f: np.save(f / "labels.npy", [0, 1, 0, 1, 2, 2, -2]),
        "labels.npy: expected whole numbers from 0 .*, or -1 for none; found -2 at node 6",
    ),
    "label that wraps": (
        lambda f: np.save(f / "labels.npy", np.full(N, 2**64 - 1, np.uint64)),
        "labels.npy: expected whole numbers .*; found 18446744073709551615 at node 0",
    ),
    "no labels": (
        lambda f: np.save(f / "labels.npy", np.empty(0, int)),
        r"labels: expected shape \[7\], found \[0\]",
    ),
    "float labels": (
        lambda f: np.save(f / "labels.npy", np.array([0.5] * (N - 1) + [np.inf])),
        "labels.npy: expected finite numbers .*; found inf at node 6",
    ),
    "one-hot labels": (
        lambda f: np.save(f / "labels.npy", np.eye(3)[np.arange(N) % 3]),
        "labels.npy: .* of one-hot rows argmax.* data.task: multilabel",
    ),
    "labels of a transposed matrix": (
        lambda f: np.save(f / "labels.npy", np.random.rand(3, N)),
        r"labels: expected shape \[7, C\], found \[3, 7\]",
    ),
    "sparse labels": (
        lambda f: (f / "labels.npy").rename(f / "labels.npz"),
        "labels.npy: no such file: .*labels.npz is not read: np.save writes matrix.toarray",
    ),
    "no known label": (
        lambda f: np.save(f / "labels.npy", np.full((N, 2), np.nan)),
        "labels.npy: expected labels, found none",
    ),
    "a split's node without a known label": (
        lambda f: np.save(f / "labels.npy", np.where(np.arange(N)[:, None] == 5, np.nan, 1 / 3)),
        "split test: node 5 has no label",
    ),
    "labels of Python": (
        lambda f: np.save(f / "labels.npy", np.array(["a"] * N, object), allow_pickle=True),
        r"labels.npy: expected numbers or texts, found objects of Python; array.astype\(str\)",
    ),
    "ids as labels": (
        lambda f: np.save(f / "labels.npy", np.arange(N) * 7),
        "labels.npy: expected classes that nodes share, found 7 labels, all unlike",
    ),
    "missing labels": (
        lambda f: (f / "labels.npy").unlink(),
        "labels.npy: no such file: training needs it$",
    ),
    "no label": (
        lambda f: np.save(f / "labels.npy", np.full(N, -1)),
        "labels.npy: expected labels, found none",
    ),
    "training nodes of one class": (
        lambda f: change_splits(f, train=[1, 3], val=[0, 2]),
        "split train: expected nodes of several classes, found 2 of one",
    ),
    "empty train split": (
        lambda f: change_splits(f, train=[]),
        "split train: expected at least one node, found none",
    ),
    "empty splits": (
        lambda f: change_splits(f, train=[], val=[], test=[]),
        "splits.json: expected nodes in train, val and test, found none",
    ),
    "split id >= N": (
        lambda f: change_splits(f, test=[7]),
        "splits.json: test: expected node ids 0 to 6, found 7",
    ),
    "split id beyond 64 bits": (
        lambda f: change_splits(f, test=[4, 99999999999999999999]),
        "splits.json: test: expected node ids 0 to 6, found 99999999999999999999",
    ),
    "overlapping splits": (lambda f: change_splits(f, val=[0]), "node 0 is in the splits twice"),
    "repeated split id": (lambda f: change_splits(f, val=[2, 2]), "node 2 is in the splits twice"),
    "unlabelled split node": (lambda f: change_splits(f, test=[6]), "node 6 has no label"),
    "float split": (lambda f: change_splits(f, val=[2.5]), "val: expected node ids.* found 2.5"),
    "split is no list": (lambda f: change_splits(f, val=2), "splits.json: val: expected a list"),
    "no split": (lambda f: (f / "splits.json").unlink(), "splits.json: no such file"),
    "broken split": (lambda f: (f / "splits.json").write_text("{"), "splits.json: not valid JSON"),
    "split is a folder": (
        lambda f: (f / "splits.json").rename(f / "was.json") and (f / "splits.json").mkdir(),
        "splits.json: not valid JSON .IsADirectoryError",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case, folder):
    break_it, told = BAD[case]
    break_it(folder)
    with pytest.raises(InputError, match=told) as error:
        load(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


def test_several_labels_and_numbers(folder):
    """What they look like, or as `data.task` says."""
    several = np.array([[1, 0], [1, 1], [0, np.nan], [0, 0], [0, 1], [1, 1], [np.nan, np.nan]])
    np.save(folder / "labels.npy", several)
    for task in ("auto", "multilabel"):
        d = load(folder, task=task)
        assert d.task == "multilabel" and d.num_classes == 2
        np.testing.assert_array_equal(d.labels.numpy(), several)
        assert d.labelled.tolist() == [True] * 6 + [False]
    numbers = np.append(np.random.rand(N - 1), np.nan)
    np.save(folder / "labels.npy", numbers)
    for task in ("auto", "regression"):
        d = load(folder, task=task)
        assert d.task == "regression" and d.labels.shape == (N, 1)
        np.testing.assert_array_equal(d.labels[:, 0].numpy(), numbers.astype(np.float32))
    with pytest.raises(InputError, match="expected whole numbers"):
        load(folder, task="classification")
    np.save(folder / "labels.npy", np.arange(N))
    with pytest.raises(InputError, match="found 7 labels, all unlike; data.task: regression"):
        load(folder)
    assert load(folder, task="regression").labels[:, 0].tolist() == list(range(N))


def test_the_fingerprint_is_of_the_task(folder):
    np.save(folder / "labels.npy", np.random.permutation(np.arange(2 * N) % 2).reshape(N, 2))
    found = {load(folder, task=task).fingerprint for task in ("multilabel", "regression")}
    assert len(found) == 2


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match="data.root: no such folder"):
        load(tmp_path / "gone")
