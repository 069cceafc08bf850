"""An error is one line: what was noted of the files before is not told then."""

import logging

import numpy as np
import pandas as pd
import pytest

from ..cli.conftest import run


@pytest.fixture
def folder(tmp_path):
    """With a column of text, which is noted."""
    folder = tmp_path / "g"
    folder.mkdir()
    pd.DataFrame(np.random.randint(0, 40, (80, 2)), columns=["u", "v"]).to_csv(
        folder / "edges.csv", index=False
    )
    nodes = {"label": np.arange(40) % 2, "x0": np.random.rand(40), "name": ["of a node"] * 40}
    pd.DataFrame(nodes).to_csv(folder / "nodes.csv", index=False)
    return folder


SMALL = ("train.epochs=1", "train.seeds=[0]", "teacher.hidden=4", "student.hidden=4")
NOTE = "text is not used: name"


@pytest.mark.parametrize("command", ["describe", "train", "propagate"])
def test_notes(command, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as in a new process
    words = ("data", "describe") if command == "describe" else (command,)
    out = () if command == "describe" else ("--out", tmp_path / "out", "-q")
    own = ("--config", "own", "--set", f"data.root={folder}", *SMALL)
    status, _, err = run(capsys, *words, *own, *out)
    assert status == 0 and err.count(NOTE) == 1, err
    # The file fails a check that comes after the notes.
    logging.getLogger().handlers.clear()
    np.save(folder / "features.npy", np.full((40, 2), np.nan))
    out = ("--out", tmp_path / "other", "-q") if out else ()
    status, _, err = run(capsys, *words, *own, *out)
    assert status == 2 and len(err.splitlines()) == 1 and "finite numbers" in err, err
