import numpy as np

from ..conftest import run


def test_influence(tiny, tmp_path, capsys):
    path = tmp_path / "influence.npy"
    status, output, _ = run(capsys, "influence", "--config", tiny, "--out", path)
    scores = np.load(path)
    assert status == 0 and scores.dtype == np.float32 and scores.shape == (300,)
    for words in (
        "min ",
        "mean ",
        "max 1",
        "quartiles",
        "coefficient of variation",
        "node pairs per second",
        "certified on",
    ):
        assert words in output
    inductive = ["--set", "data.setting=inductive", "--seed", 7]
    run(capsys, "influence", "--config", tiny, *inductive, "--out", path)
    assert np.isnan(np.load(path)).any()
