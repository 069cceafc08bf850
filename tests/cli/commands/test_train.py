import json

import numpy as np
import pytest
import yaml

from ..conftest import refused, run


def test_train_prints_a_table_and_the_run(tiny, tmp_path, capsys):
    out = tmp_path / "run"
    first = ["--set", "teacher.hidden=4", "train.baselines=[mlp]"]
    options = ["--out", out, "--seeds", "4,5", *first, "--set", "train.epochs=2"]
    status, output, _ = run(capsys, "train", "--config", tiny, *options)
    assert status == 0
    for words in (
        "plain MLP",
        "teacher (gcn)",
        "InfGraND student",
        "validation (%)",
        "test (%)",
        "ms per 1000 nodes",
        f"run directory: {out}",
        "seed 4: teacher",
    ):
        assert words in output
    resolved = yaml.safe_load((out / "config.yaml").read_text())
    assert resolved["train"]["seeds"] == [4, 5] and resolved["teacher"]["hidden"] == 4
    assert resolved["train"]["epochs"] == 2


def test_quiet_prints_the_results_alone(tiny, tmp_path, capsys):
    _, output, _ = run(capsys, "train", "-q", "--config", tiny, "--out", tmp_path / "run")
    assert "InfGraND student" in output and "seed 1" not in output


def test_default_run_directory(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, output, _ = run(capsys, "train", "--config", tiny)
    (made,) = (tmp_path / "runs").iterdir()
    assert made.name.startswith("tiny-") and f"run directory: runs/{made.name}" in output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "student.hiden=3"], "student.hiden: unknown key; did you mean 'hidden'?"),
        (["--set", "train.epochs=many"], "train.epochs: expected an integer, found 'many'"),
        (["--seeds", "1,x"], "train.seeds.1: expected an integer, found 'x'"),
    ],
)
def test_bad_settings(options, message, tiny, tmp_path, capsys):
    command = ("train", "--config", tiny, *options, "--out", tmp_path / "r")
    assert message in refused(capsys, tmp_path, *command)


def test_existing_output(trained, tiny, tmp_path, capsys):
    message = "exists and is not empty; --overwrite replaces it"
    assert message in refused(capsys, tmp_path, "train", "--config", tiny, "--out", trained)


def test_resume_without_a_run(tmp_path, capsys):
    out = tmp_path / "r"
    assert "--config: an experiment is needed (with --resume it" in refused(
        capsys, tmp_path, "train"
    )
    assert "--resume: name the run with --out" in refused(capsys, tmp_path, "train", "--resume")
    message = f"--resume: no run in {out}.partial or {out}"
    assert message in refused(capsys, tmp_path, "train", "--resume", "--out", out)


@pytest.fixture
def folder(tmp_path):
    """A valid graph of the user's own, to break."""
    root = tmp_path / "graph"
    root.mkdir()
    np.save(root / "edges.npy", np.random.randint(0, 60, size=(200, 2)))
    np.save(root / "features.npy", np.random.rand(60, 4))
    np.save(root / "labels.npy", np.arange(60) % 3)
    splits = {"train": list(range(20)), "val": list(range(20, 40)), "test": list(range(40, 60))}
    (root / "splits.json").write_text(json.dumps(splits))
    config = tmp_path / "own.yaml"
    config.write_text(
        f"data: {{name: directory, root: {root}}}\ntrain: {{epochs: 2, seeds: [1], device: cpu}}\n"
    )
    return root


def test_own_graph_trains(folder, tmp_path, capsys):
    out = tmp_path / "r"
    assert run(capsys, "train", "--config", tmp_path / "own.yaml", "--out", out)[0] == 0
    assert json.loads((out / "metrics.json").read_text())["dataset"]["nodes"] == 60


ONE_INFINITE = np.ones((60, 4))
ONE_INFINITE[9, 1] = -np.inf


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("features.npy", None, "features.npy: no such file"),
        ("features.npy", np.full((60, 4), np.nan), "found NaN or infinity in row 0"),
        ("features.npy", ONE_INFINITE, "found NaN or infinity in row 9"),
        ("features.npy", np.ones((61, 4)), "labels: expected shape [61], found [60]"),
        (
            "labels.npy",
            np.arange(60) % 3 - 2,
            "or -1 for none; found -2 at node 0",
        ),
        ("edges.npy", np.array([[0, 60]]), "expected node ids 0 to 59"),
        ("edges.npy", np.array([[0.5, 1]]), "expected integer node ids, found float64"),
        (
            "splits.json",
            {"train": [], "val": [1], "test": [2]},
            "split train: expected at least one node, found none",
        ),
    ],
)
def test_own_graph_is_broken(file, content, message, folder, tmp_path, capsys):
    if content is None:
        (folder / file).unlink()
    elif isinstance(content, dict):
        (folder / file).write_text(json.dumps(content))
    else:
        np.save(folder / file, content)
    command = ("train", "--config", tmp_path / "own.yaml", "--out", tmp_path / "r")
    assert message in refused(capsys, tmp_path, *command)
    assert not (tmp_path / "r").exists()


def test_corrupt_npz(real_data, tmp_path, capsys):
    (source,) = real_data.glob("amazon_co_buy_photo_*")
    (tmp_path / source.name).mkdir()
    (tmp_path / source.name / "amazon_co_buy_photo.npz").write_bytes(b"PK\x03\x04 broken")
    options = ["--config", "amazon-photo_gcn_transductive", "--set", f"data.root={tmp_path}"]
    command = ("train", *options, "--out", tmp_path / "r")
    assert "not a readable npz" in refused(capsys, tmp_path, *command)


def test_divergence(tiny, tmp_path, capsys):
    """What is finished stays, for another try with a lower rate."""
    options = ["--set", "teacher.lr=1e30", "--quiet", "--out", tmp_path / "r"]
    status, _, err = run(capsys, "train", "--config", tiny, *options)
    assert status == 2 and "seed 1: teacher: training diverged in epoch" in err
    assert err.endswith(f"; to go on: infgrand-dgl train --resume --out {tmp_path / 'r'}\n")
    options = ["--set", "teacher.lr=0.01", "--resume", "--out", tmp_path / "r"]
    status, out, _ = run(capsys, "train", "--config", tiny, *options)
    assert status == 0 and "influence                    reused" in out


def test_interrupt(tiny, tmp_path, capsys, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("infgrand_dgl.experiment.steps.train_teacher", interrupted)
    status, _, err = run(capsys, "train", "--config", tiny, "--out", tmp_path / "r")
    resume = f"infgrand-dgl train --resume --out {tmp_path / 'r'}"
    assert status == 130 and err == f"infgrand-dgl: interrupted; to go on: {resume}\n"
    assert not (tmp_path / "r").exists()
