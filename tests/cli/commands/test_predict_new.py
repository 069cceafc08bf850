"""`predict` of new nodes, and of known ones with other features."""

import numpy as np
import pytest

from infgrand_dgl import Predictor

from ..conftest import refused, run

N, D = 300, 60  # of `trained`


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Three new nodes."""
    monkeypatch.chdir(tmp_path)
    x = (np.random.rand(3, D) < 0.2).astype(np.float32)
    edges = np.array([[N, 5], [17, N], [N + 1, N]])
    np.save("x.npy", x)
    np.save("e.npy", edges)
    return x, edges


def predicted(capsys, trained, *options, out="p.npy"):
    status, _, err = run(capsys, "predict", "--run", trained, "--out", out, *options)
    assert status == 0, err
    return np.load(out)


def test_new_nodes(files, trained, capsys):
    x, edges = files
    predictor = Predictor.open(trained)
    options = ("--features", "x.npy", "--edges", "e.npy")
    found = predicted(capsys, trained, *options, "--probabilities")
    np.testing.assert_array_equal(found, predictor.new(x, edges))
    classes = predicted(capsys, trained, *options)
    assert classes.tolist() == found.argmax(axis=1).tolist()
    cached = predicted(capsys, trained, *options, "--cached", "--probabilities")
    np.testing.assert_array_equal(cached, predictor.new(x, edges, cached=True))
    cold = predicted(capsys, trained, "--features", "x.npy", "--probabilities")
    np.testing.assert_array_equal(cold, predictor.new(x))
    np.testing.assert_allclose(cold[2], found[2], rtol=1e-5, atol=1e-6)  # it has no edges

    np.savetxt("e.csv", edges, fmt="%d", delimiter=",", header="source,target", comments="")
    np.savetxt("x.csv", x, delimiter=",")
    tables = predicted(
        capsys, trained, "--features", "x.csv", "--edges", "e.csv", "--probabilities"
    )
    np.testing.assert_allclose(tables, found, rtol=1e-5, atol=1e-6)


def test_known_nodes_with_other_features(files, trained, capsys):
    x, _ = files
    np.save("ids.npy", [8, 3, 299])
    options = ("--nodes", "ids.npy", "--features", "x.npy", "--probabilities", "--seed", 2)
    found = predicted(capsys, trained, *options)
    np.testing.assert_array_equal(found, Predictor.open(trained, 2).changed([8, 3, 299], x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--edges", "e.npy"], "--edges: only of new nodes, with --features"),
        (["--cached"], "--cached: only of new nodes"),
        (["--nodes", "e.npy", "--features", "x.npy", "--edges", "e.npy"], "--edges: only of new"),
        (["--propagated", "x.npy", "--features", "x.npy"], "--features: raw ones; --propagated"),
        (["--features", "gone.npy"], "gone.npy: no such file"),
        (
            ["--features", "narrow.npy"],
            "narrow.npy: expected numbers [n, 60], found float32 [3, 59]",
        ),
        (["--features", "ids.csv"], "ids.csv: expected no column of ids, found one"),
        (["--features", "x.npy", "--edges", "known.npy"], "edges: expected a new node in each"),
        (
            ["--features", "x.npy", "--edges", "far.npy"],
            "far.npy: expected node ids 0 to 302 (new ones from 300), found edge 303, 0 in row 1",
        ),
        (["--features", "x.npy", "--edges", "names.csv"], "names.csv: expected node ids 0 to 302"),
        (
            ["--features", "x.npy", "--edges", "three.npy"],
            "three.npy: expected two columns of ids, and where edges have weights one",
        ),
        (["--features", "x.npy", "--edges", "texts.npy"], "expected node ids 0 to 302"),
        (
            ["--features", "x.npy", "--edges", "heavy.csv"],
            "weights: the graph that the nodes join has none",
        ),
    ],
)
def test_errors(options, message, files, trained, tmp_path, capsys):
    x, _ = files
    np.save("narrow.npy", x[:, 1:])
    np.save("known.npy", [[300, 1], [3, 4]])
    np.save("three.npy", [[300.0, 1.0, 2.5]])
    np.save("texts.npy", np.array([["²", "1"]]))
    np.save("far.npy", [[300, 1], [303, 0]])
    header = ",".join(["id", *(f"x{k}" for k in range(D))])
    with_ids = np.concatenate([np.array([[7], [8], [9]]), x], axis=1)
    np.savetxt("ids.csv", with_ids, delimiter=",", header=header, comments="", fmt="%g")
    (tmp_path / "names.csv").write_text("source,target\nann,bob\n")
    (tmp_path / "heavy.csv").write_text("source,target,weight\n300,1,2.5\n")
    found = refused(capsys, tmp_path, "predict", "--run", trained, "--out", "p.npy", *options)
    assert message in found
