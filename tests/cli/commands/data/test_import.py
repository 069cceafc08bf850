"""What is read of each format: tests/data/formats."""

import json

import numpy as np
import pandas as pd

from tests.data.formats.layouts import gnn_benchmark, graph, heterophilous, pickled

from ...conftest import refused, run


def test_import(tmp_path, capsys):
    out = tmp_path / "set"
    command = ("data", "import", heterophilous(graph(), tmp_path), "--out", out)
    status, output, err = run(capsys, *command)
    described, imported = output.splitlines()
    assert (status, err) == (0, "") and described.startswith("set: 60 nodes, ")
    assert imported == f"imported: {out}; infgrand-dgl train --config {out}/experiment.yaml"
    assert "--overwrite" in refused(capsys, tmp_path, *command)
    assert run(capsys, *command, "--overwrite")[0] == 0
    (out / "notes.txt").write_text("mine")
    assert "would delete notes.txt" in refused(capsys, tmp_path, *command, "--overwrite")


def test_splits_are_drawn_as_told(tmp_path, capsys):
    source, out = gnn_benchmark(graph(), tmp_path), tmp_path / "set"
    command = ("data", "import", source, "--out", out, "-q")
    status, _, err = run(capsys, *command, "--fractions", ".2", ".3", ".5", "--count", "3")
    assert (status, err) == (0, "")
    splits = json.loads((out / "splits.json").read_text())
    assert [[len(ids) for ids in split.values()] for split in splits] == 3 * [[12, 18, 30]]
    told = refused(capsys, tmp_path, *command, "--overwrite", "--train-per-class", "21")
    assert "class 0 has 20 nodes" in told


def test_pickles_need_trust(tmp_path, capsys):
    command = ("data", "import", pickled(graph(), tmp_path), "--out", tmp_path / "set")
    told = refused(capsys, tmp_path, *command)
    assert "pickled.npz: this .npz holds pickled objects" in told and "--trust" in told
    assert run(capsys, *command, "--trust")[0] == 0


def test_weights(tmp_path, capsys):
    g = graph()
    frame = pd.DataFrame(g.edges, columns=["source", "target"])
    frame["weight"] = np.random.rand(len(frame)) + np.arange(len(frame))
    frame.to_csv(tmp_path / "links.csv", index=False)
    np.save(tmp_path / "x.npy", g.x)
    beside = ("--features", tmp_path / "x.npy", "--out", tmp_path / "set")
    command = ("data", "import", tmp_path / "links.csv", *beside)
    status, output, err = run(capsys, *command)
    assert status == 0 and "60 nodes" in output and "edges have weights; --drop-weights" in err
    np.testing.assert_array_equal(np.load(tmp_path / "set/weights.npy"), frame["weight"])
    status, _, err = run(capsys, *command, "--drop-weights", "--overwrite")
    assert status == 0 and "labels" in err and not (tmp_path / "set/weights.npy").exists()
    frame.to_csv(tmp_path / "links.csv", index=False, header=False)
    told = refused(capsys, tmp_path, *command, "--overwrite")
    assert "--weights" in told and "--drop-weights" in told
    assert run(capsys, *command, "--weights", "2", "--overwrite")[0] == 0


def test_refusals(tmp_path, capsys):
    out = ("--out", tmp_path / "set")
    assert "no such file" in refused(capsys, tmp_path, "data", "import", tmp_path / "gone", *out)
    (tmp_path / "cat.jpg").write_bytes(b"cat")
    told = refused(capsys, tmp_path, "data", "import", tmp_path / "cat.jpg", *out)
    assert "cat.jpg: expected a graph in one of the formats gnn-benchmark, " in told
    told = refused(capsys, tmp_path, "data", "import", tmp_path / "cat.jpg", *out, "--val", "3")
    assert "--val, --test: need --train-per-class" in told
