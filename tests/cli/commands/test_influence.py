import numpy as np

from ..conftest import refused, run


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
    _, output, err = run(
        capsys, "influence", "--config", tiny, "--out", path, "--set", "influence.measure=uniform"
    )
    assert "min 1  mean 1  max 1" in output and err == ""  # no warning: it is meant to be flat
    inductive = ["--set", "data.setting=inductive", "--seed", 7]
    run(capsys, "influence", "--config", tiny, *inductive, "--out", path)
    assert np.isnan(np.load(path)).any()


def test_a_full_disk(tiny, tmp_path, capsys, monkeypatch):
    """The message has the name that was given."""

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    out = tmp_path / "i.npy"
    told = f"--out {out}: cannot be written (No space left on device)"
    assert refused(capsys, tmp_path, "influence", "--config", tiny, "--out", out) == told


def test_of_a_teacher(tiny, tmp_path, capsys):
    """Its logits come from a file."""
    command = ("influence", "--config", tiny, "--out", tmp_path / "i.npy", "--set")
    message = "influence.measure: entropy needs teacher.logits, a file [N, C]"
    assert message in refused(capsys, tmp_path, *command, "influence.measure=entropy")
    np.save(tmp_path / "logits.npy", np.random.randn(300, 3).astype(np.float32))
    settings = ("influence.measure=entropy", f"teacher.logits={tmp_path}/logits.npy")
    assert run(capsys, *command, *settings)[0] == 0
    assert np.isfinite(np.load(tmp_path / "i.npy")).all()


def test_of_labels(tiny, tmp_path, capsys):
    """Those that train in the split of a seed."""
    scores: dict[int, np.ndarray] = {}
    for seed in (1, 1, 2):
        command = ("influence", "--config", tiny, "--out", tmp_path / "i.npy", "--seed", seed)
        settings = ("--set", "influence.measure=label-reach", "data.label_rate=0.5")
        assert run(capsys, *command, *settings)[0] == 0
        found = np.load(tmp_path / "i.npy")
        assert np.array_equal(scores.setdefault(seed, found), found)
    assert not np.array_equal(scores[1], scores[2])
