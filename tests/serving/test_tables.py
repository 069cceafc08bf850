"""Answers as they are written, beside those of all nodes at once."""

import numpy as np
import pandas as pd
import pytest
import torch
from pyarrow.parquet import ParquetFile

from infgrand_dgl import InputError
from infgrand_dgl.nn.mlp import MLP
from infgrand_dgl.serving import has_labels, likeliest, predict
from infgrand_dgl.serving.tables import Shown, writing_answers

N, C = 37, 4
NAMES = np.array(["art, or", "bio", "Ästhetik", 'the "law"'])
CODES = np.array([3, 7, 10**12, 10**12 + 1])


def written(path, shown, answers, nodes=None, size=5):
    nodes = np.arange(len(answers)) if nodes is None else nodes
    with writing_answers(path, shown) as write:
        for start in range(0, len(answers), size):
            write(nodes[start : start + size], answers[start : start + size])
    return path


def read(path):
    read = pd.read_csv if path.suffix == ".csv" else pd.read_parquet
    return read(path)


@pytest.mark.parametrize("rows", [0, 1, N])
@pytest.mark.parametrize("classes", [None, CODES, NAMES])
def test_arrays_as_saved_at_once(classes, rows, tmp_path):
    mlp, x = MLP(5, 8, C, layers=2).eval(), np.random.randn(rows, 5).astype(np.float32)
    expected = {
        ("classification", False): likeliest(predict(mlp, x), classes),
        ("classification", True): predict(mlp, x).numpy(),
        ("multilabel", False): has_labels(predict(mlp, x, "multilabel")),
        ("multilabel", True): predict(mlp, x, "multilabel").numpy(),
        ("regression", False): predict(mlp, x, "regression").numpy(),
    }
    for (task, probabilities), array in expected.items():
        np.save(tmp_path / "at_once.npy", array)
        shown = Shown(task, C, classes, probabilities)  # type: ignore[arg-type]
        written(tmp_path / "p.npy", shown, predict(mlp, x, shown.task))
        assert (tmp_path / "p.npy").read_bytes() == (tmp_path / "at_once.npy").read_bytes()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("classes", [None, CODES, NAMES])
def test_tables(classes, suffix, tmp_path):
    path = tmp_path / f"p{suffix}"
    nodes, numbers = np.random.randint(0, 10**12, N), torch.randn(N, C)
    names = [str(name) for name in (range(C) if classes is None else classes)]
    answers = numbers.softmax(dim=1)

    table = read(written(path, Shown("classification", C, classes), answers, nodes))
    assert [*table] == ["node", "class"] and table["node"].tolist() == nodes.tolist()
    assert table["class"].tolist() == likeliest(answers, classes).tolist()
    for task, shown, said in (
        ("classification", True, answers),
        ("multilabel", True, numbers.sigmoid()),
        ("multilabel", False, (numbers > 0).to(torch.int8)),
        ("regression", False, numbers),
    ):
        given = numbers.sigmoid() if task == "multilabel" else said
        table = read(written(path, Shown(task, C, classes, shown), given, nodes))  # type: ignore[arg-type]
        assert [*table] == ["node", *names] and table["node"].tolist() == nodes.tolist()
        found = table[names].to_numpy(said.numpy().dtype)
        np.testing.assert_array_equal(found, said.numpy())
    none = read(written(path, Shown("regression", C, classes), numbers[:0]))
    assert [*none] == ["node", *names] and not len(none)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("classes", [None, CODES, NAMES])
def test_the_likeliest(classes, suffix, tmp_path):
    """By definition: no class that is left out is likelier; of equals the first come first."""
    answers = torch.randint(0, 3, (N, C)) / 8.0
    for K in (1, 3, C):
        shown = Shown("classification", C, classes, top=K)
        table = read(written(tmp_path / f"p{suffix}", shown, answers))
        pairs = [(f"class_{k}", f"probability_{k}") for k in range(1, K + 1)]
        assert [*table] == ["node", *(name for pair in pairs for name in pair)]
        for i, row in enumerate(answers.tolist()):
            order = sorted(range(C), key=lambda c: (-row[c], c))[:K]
            codes = order if classes is None else [classes[c] for c in order]
            assert [table[name][i] for name, _ in pairs] == codes
            assert [table[name][i] for _, name in pairs] == [row[c] for c in order]


def test_groups_of_rows(tmp_path, monkeypatch):
    """As many rows as are in memory together, however few come at a time."""
    monkeypatch.setattr("infgrand_dgl.system.arrays.NUMBERS", 10 * C)
    path = written(tmp_path / "p.parquet", Shown("regression", C), torch.randn(N, C), size=2)
    groups = ParquetFile(path).metadata
    assert [groups.row_group(k).num_rows for k in range(groups.num_row_groups)] == [10, 10, 10, 7]
    assert read(path)["node"].tolist() == [*range(N)]


@pytest.mark.parametrize("name", ["a\nb", "a\rb"])
def test_classes_of_two_lines(name, tmp_path):
    shown = Shown("classification", 2, np.array(["art", name]))
    told = r"p.csv: expected names of classes in one line, found 'a\\[nr]b'; .parquet can have it"
    with pytest.raises(InputError, match=told), writing_answers(tmp_path / "p.csv", shown):
        pass
    table = read(written(tmp_path / "p.parquet", shown, torch.tensor([[0.0, 1.0]])))
    assert table["class"].tolist() == [name]


def test_names_of_columns_are_distinct():
    answers = torch.rand(3, 3)

    def columns(*names):
        shown = Shown("classification", 3, np.array(names), probabilities=True)
        columns = shown.columns(np.arange(3), answers)
        for k, name in enumerate([*columns][1:]):
            assert columns[name].tolist() == answers[:, k].tolist()
        return [*columns]

    assert columns("class", "Node", "art") == ["node", "class", "Node", "art"]
    assert columns("edge", "node", "path") == ["node", "edge", "node_", "path"]
    assert columns("node", "node_", "a") == ["node", "node__", "node_", "a"]


def test_a_failure_leaves_what_was_there(tmp_path):
    for suffix in (".npy", ".csv", ".parquet"):
        path = tmp_path / f"p{suffix}"
        path.write_bytes(b"before")
        with (
            pytest.raises(InputError, match="^x.csv: row 7$"),
            writing_answers(path, Shown("regression", C)) as write,
        ):
            write(np.arange(N), torch.randn(N, C))
            raise InputError("x.csv: row 7")
        assert path.read_bytes() == b"before"
    assert len([*tmp_path.iterdir()]) == 3


@pytest.mark.parametrize(
    ("name", "shown", "message"),
    [
        ("p.txt", Shown("regression", C), "p.txt: expected .npy, .csv or .parquet at its end"),
        ("p.csv", Shown("regression", C, None, True), "--probabilities: a regression has none"),
        ("p.npy", Shown("classification", C, top=2), "--top: needs a table, --out in .csv or .par"),
        ("p.csv", Shown("multilabel", C, top=2), "a student of classes, found one of multilabel"),
        (
            "p.csv",
            Shown("classification", C, top=5),
            "--top: expected 1 to 4, the classes, found 5",
        ),
    ],
)
def test_what_cannot_be_shown(name, shown, message, tmp_path):
    with pytest.raises(InputError, match=message), writing_answers(tmp_path / name, shown):
        pass
    assert not [*tmp_path.iterdir()]


def test_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setattr("infgrand_dgl.system.installed.find_spec", lambda name: None)
    needs = r"p.parquet: pyarrow is not installed \(pip install infgrand-dgl\[parquet\]\)"
    with (
        pytest.raises(InputError, match=needs),
        writing_answers(tmp_path / "p.parquet", Shown("regression", C)),
    ):
        pass
    written(tmp_path / "p.csv", Shown("regression", C), torch.randn(N, C))
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("ids", [np.array([7, 2**62, -3]), np.array(["b, c", "π", "7"])])
def test_ids_from_elsewhere(ids, suffix, tmp_path):
    """Beside the rows; nodes that came later have none, and a class of that name gives way."""
    shown = Shown("multilabel", 2, np.array(["id", "node"]), True, ids=ids)
    nodes = np.array([2, 0, 3, 1, 4])
    path = written(tmp_path / f"p{suffix}", shown, torch.rand(5, 2), nodes, size=2)
    if suffix == ".csv":
        table = pd.read_csv(path, dtype=str)
    else:
        table = pd.read_parquet(path, dtype_backend="numpy_nullable")
    assert [*table] == ["node", "id", "id_", "node_"]
    known = table[table["node"].astype(int) < 3]
    assert [*known["id"].astype(str)] == [*map(str, ids[[2, 0, 1]])]
    later = table[table["node"].astype(int) >= 3]["id"]
    assert (later.isna() | (later == "")).all() and len(later) == 2
    if suffix == ".parquet" and ids.dtype.kind == "i":
        assert str(ParquetFile(path).schema_arrow.field("id").type) == "int64"
