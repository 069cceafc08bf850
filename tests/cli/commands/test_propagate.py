import numpy as np

from ..conftest import run


def test_propagate(tiny, trained, tmp_path, capsys):
    """What it writes is what a run of the same settings trained on, and `predict` takes it."""
    path = tmp_path / "x.npy"
    status, output, _ = run(capsys, "propagate", "--config", tiny, "--out", path)
    assert status == 0 and f"wrote {path}: float32 [300, 60]" in output
    assert np.array_equal(np.load(path), np.load(trained / "propagated.npy"))
    for given in ([], ["--propagated", path]):
        run(capsys, "predict", "--run", trained, *given, "--out", tmp_path / f"p{len(given)}.npy")
    assert (tmp_path / "p0.npy").read_bytes() == (tmp_path / "p2.npy").read_bytes()
    inductive = ["--set", "data.setting=inductive", "--seed", 7]
    run(capsys, "propagate", "--config", tiny, *inductive, "--out", path)
    assert not np.array_equal(np.load(path), np.load(trained / "propagated.npy"))
