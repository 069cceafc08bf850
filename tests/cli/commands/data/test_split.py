"""What is drawn: tests/data/test_drawing.py."""

import json

import numpy as np

from tests.data.formats.layouts import geom_gcn, graph

from ...conftest import refused, run


def test_split(tmp_path, capsys):
    g, folder = graph(), tmp_path / "mine"
    folder.mkdir()
    for name in ("edges", "x", "y"):
        file = {"x": "features", "y": "labels"}.get(name, name)
        np.save(folder / f"{file}.npy", getattr(g, name))
    command = ("data", "split", folder)
    drawn = (*command, "--train-per-class", "5", "--val", "20", "--test", "25")
    assert run(capsys, *drawn) == (0, f"split: {folder}/splits.json\n", "")
    split = json.loads((folder / "splits.json").read_text())
    assert [len(split[part]) for part in ("train", "val", "test")] == [15, 20, 25]
    assert np.bincount(g.y[split["train"]]).tolist() == [5, 5, 5]

    assert "is there already; --overwrite" in refused(capsys, tmp_path, *drawn)
    assert "expected --train-per-class or --fractions" in refused(capsys, tmp_path, *command)
    several = (*command, "--fractions", ".5", ".25", ".25", "--count", "4", "--overwrite")
    status, output, _ = run(capsys, *several)
    assert status == 0 and output.endswith("4 splits; data.split: 0, or seed, chooses\n")
    assert len(json.loads((folder / "splits.json").read_text())) == 4
    assert run(capsys, *several[:-4], ".9")[0] == 2


def test_folders_of_others(tmp_path, capsys):
    fractions = ("--fractions", ".5", ".25", ".25")
    told = refused(capsys, tmp_path, "data", "split", tmp_path, *fractions)
    assert "expected a folder with edges and labels, found none" in told
    path = geom_gcn(graph(), tmp_path)
    told = refused(capsys, tmp_path, "data", "split", path, *fractions)
    assert "found geom-gcn; data import takes the same options" in told
    assert "sum of at most 1" in refused(
        capsys, tmp_path, "data", "split", path, *fractions[:3], ".9"
    )
