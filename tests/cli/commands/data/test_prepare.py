"""What is written: tests/data/test_prepared.py."""

from ...conftest import run


def test_prepare(tiny, tmp_path, capsys):
    out = tmp_path / "set"
    prepare = ("data", "prepare", "--config", tiny, "--out", out)
    status, output, _ = run(capsys, *prepare, "--set", "data.seed=4", "--dtype", "float16")
    prepared = f"prepared: {out}; use it with --set data.prepared={out}\n"
    assert status == 0 and "features" in output and output.endswith(prepared)
    describe = ("data", "describe", "--config", tiny, "--set", f"data.prepared={out}")
    status, output, _ = run(capsys, *describe, "data.seed=4")
    assert status == 0 and "300 nodes" in output and "features: dense float16" in output
    status, _, err = run(capsys, *describe)
    assert status == 2 and "data.seed" in err
    status, _, err = run(capsys, *prepare)
    assert status == 2 and "--overwrite" in err
    assert run(capsys, *prepare, "--overwrite", "-q") == (0, prepared, "")
    settings = (f"data.prepared={out}", "train.epochs=2")
    train = ("train", "--config", tiny, "--out", tmp_path / "run", "--set", *settings)
    assert run(capsys, *train)[0] == 0
