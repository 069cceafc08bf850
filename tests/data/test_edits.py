"""Edits of a graph from files."""

import numpy as np
import pandas as pd
import pytest

from infgrand_dgl import InputError
from infgrand_dgl.data.edits import read_changed_features, read_edits


def table(path, **columns):
    frame = pd.DataFrame(columns)
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_all_at_once(suffix, tmp_path, caplog):
    """Weights where files have some, else 1."""
    weights = np.random.rand(3) + 0.1
    added = table(tmp_path / f"a{suffix}", source=[0, 1, 2], target=[3, 4, 5], weight=weights)
    joining = table(tmp_path / f"j{suffix}", source=[10, 2], target=[9, 11])
    np.save(tmp_path / "r.npy", removed := np.array([[7, 6], [0, 5]]))
    edits = read_edits(added, tmp_path / "r.npy", joining, known=10, new=2)
    assert edits.added.tolist() == [[0, 3], [1, 4], [2, 5], [10, 9], [2, 11]]
    assert edits.removed.tolist() == removed.tolist() and edits.nodes == 2
    assert edits.weights is not None
    np.testing.assert_allclose(edits.weights, [*weights, 1, 1], rtol=1e-6)
    assert f"{joining} has no weights: each edge weighs 1" in caplog.text
    nothing = read_edits(None, None, None, 10, 0)
    assert nothing.added.shape == nothing.removed.shape == (0, 2) and nothing.weights is None


@pytest.mark.parametrize(
    ("option", "edges", "message"),
    [
        ("added", [[0, 10]], r"expected node ids 0 to 9 \(of the run's graph\), found edge 0, 10"),
        (
            "removed",
            [[-1, 2]],
            r"expected node ids 0 to 9 \(of the run's graph\), found edge -1, 2",
        ),
        ("joining", [[12, 2]], r"expected node ids 0 to 11 \(new ones from 10\), found edge 12, 2"),
        ("joining", [[10, 1], [3, 4]], r"--add-nodes .*: expected a new node .*, found \[3, 4\]"),
        ("added", [[4, 4]], r"--add-edges .*: expected edges of two nodes, found 4 twice"),
        ("added", [[1, 2], [2, 1]], r"--add-edges, --add-nodes: .* once, found \[1, 2\] twice"),
        (
            "removed",
            [[1, 2], [1, 2]],
            r"--remove-edges .*: .* each edge once, found \[1, 2\] twice",
        ),
        ("added", [[1, 2, 0], [2, 3, 5]], "--add-edges .*: expected two columns of ids"),
        ("added", [[0.5, 2]], "expected"),
    ],
)
def test_what_is_no_edit(option, edges, message, tmp_path):
    path = tmp_path / "edges.npy"
    np.save(path, np.array(edges))
    given = {"added": None, "removed": None, "joining": None} | {option: path}
    with pytest.raises(InputError, match=message):
        read_edits(**given, known=10, new=2)


@pytest.mark.parametrize("weight", [0.0, -1.0, np.nan])
def test_what_is_no_weight(weight, tmp_path):
    path = table(tmp_path / "a.csv", source=[0, 1], target=[3, 4], weight=[2.5, weight])
    with pytest.raises(InputError, match="weight"):
        read_edits(path, None, None, 10, 0)


def test_features_of_known_nodes(tmp_path):
    x, ids = np.random.randn(3, 2).astype(np.float32), [7, 0, 3]
    np.savez(tmp_path / "x.npz", ids=ids, features=x)
    paths = [tmp_path / "x.npz"]
    paths += [table(tmp_path / f"x{s}", id=ids, a=x[:, 0], b=x[:, 1]) for s in (".csv", ".parquet")]
    for path in paths:
        found, rows = read_changed_features(path)
        assert found.tolist() == ids
        np.testing.assert_allclose(rows, x, rtol=1e-6)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"ids": [1, 1]}, "expected each id once, found 1 twice"),
        ({"ids": [1.0, 2.0]}, "expected integers as ids, one for each of 2 rows; found float64"),
        ({"ids": [1, 2, 3]}, r"one for each of 2 rows; found int64 \[3\]"),
        (
            {"ids": np.array([1, 2**64 - 1], np.uint64)},
            r"expected ids below 2\^63, found 18446744073709551615",
        ),
        ({}, "expected a column id beside the features"),
    ],
)
def test_what_are_no_features_of_known_nodes(arrays, message, tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, features=np.zeros((2, 4)), **arrays)
    with pytest.raises(InputError, match=f"--set-features .*: .*{message}"):
        read_changed_features(path)
