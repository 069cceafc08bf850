import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from infgrand_dgl.cli import main


def run(capsys, *arguments):
    """Exit status, standard output and standard error of a command in this process."""
    status: object
    try:
        status = main([str(a) for a in arguments])
    except SystemExit as end:  # argparse
        status = end.code
    out = capsys.readouterr()
    return status, out.out, out.err


@pytest.fixture
def trained(tiny, tmp_path, capsys) -> Path:
    out = tmp_path / "run"
    assert run(capsys, "train", "--config", tiny, "--out", out)[0] == 0
    return out


def test_train_prints_a_table_and_the_run(tiny, tmp_path, capsys):
    out = tmp_path / "run"
    status, told, _ = run(
        capsys,
        "train",
        "--config",
        tiny,
        "--out",
        out,
        "--seeds",
        "4,5",
        "--set",
        "teacher.hidden=4",
        "train.baselines=[mlp]",
        "--set",
        "train.epochs=2",
    )
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
        assert words in told
    resolved = yaml.safe_load((out / "config.yaml").read_text())
    assert resolved["train"]["seeds"] == [4, 5] and resolved["teacher"]["hidden"] == 4
    assert resolved["train"]["epochs"] == 2


def test_quiet_prints_the_results_alone(tiny, tmp_path, capsys):
    _, told, _ = run(capsys, "train", "-q", "--config", tiny, "--out", tmp_path / "run")
    assert "InfGraND student" in told and "seed 1" not in told


def test_default_run_directory(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, told, _ = run(capsys, "train", "--config", tiny)
    (made,) = (tmp_path / "runs").iterdir()
    assert made.name.startswith("tiny-") and f"run directory: runs/{made.name}" in told


def test_influence(tiny, tmp_path, capsys):
    path = tmp_path / "influence.npy"
    status, told, _ = run(capsys, "influence", "--config", tiny, "--out", path)
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
        assert words in told
    inductive = ["--set", "data.setting=inductive", "--seed", 7]
    run(capsys, "influence", "--config", tiny, *inductive, "--out", path)
    assert np.isnan(np.load(path)).any()


def test_propagate(tiny, trained, tmp_path, capsys):
    """What it writes is what a run of the same settings trained on, and `predict` takes it."""
    path = tmp_path / "x.npy"
    status, told, _ = run(capsys, "propagate", "--config", tiny, "--out", path)
    assert status == 0 and f"wrote {path}: float32 [300, 60]" in told
    assert np.array_equal(np.load(path), np.load(trained / "propagated.npy"))
    for given in ([], ["--propagated", path]):
        run(capsys, "predict", "--run", trained, *given, "--out", tmp_path / f"p{len(given)}.npy")
    assert (tmp_path / "p0.npy").read_bytes() == (tmp_path / "p2.npy").read_bytes()
    inductive = ["--set", "data.setting=inductive", "--seed", 7]
    run(capsys, "propagate", "--config", tiny, *inductive, "--out", path)
    assert not np.array_equal(np.load(path), np.load(trained / "propagated.npy"))


def test_predict(trained, tmp_path, capsys):
    metrics = json.loads((trained / "metrics.json").read_text())
    best = metrics["seeds"][int(np.argmax(metrics["student"]["val"]["per_seed"]))]
    out = tmp_path / "p.npy"
    status, told, _ = run(capsys, "predict", "--run", trained, "--out", out)
    classes = np.load(out)
    assert status == 0 and f"student of seed {best}" in told
    assert classes.dtype == np.int64 and classes.shape == (300,)

    run(capsys, "predict", "--run", trained, "--out", out, "--probabilities", "--seed", 2)
    probabilities = np.load(out)
    assert probabilities.dtype == np.float32 and probabilities.shape == (300, 3)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)

    nodes = tmp_path / "nodes.npy"
    np.save(nodes, [5, 299, 5])
    run(capsys, "predict", "--run", trained, "--out", out, "--nodes", nodes)
    assert np.load(out).tolist() == classes[[5, 299, 5]].tolist()
    rows = tmp_path / "rows.npy"
    np.save(rows, np.load(trained / "propagated.npy")[10:20])
    run(capsys, "predict", "--run", trained, "--out", out, "--propagated", rows)
    assert np.load(out).tolist() == classes[10:20].tolist()


def test_predict_touches_no_graph_library(trained, tmp_path):
    code = (
        "import sys; from infgrand_dgl.cli import main; "
        f"assert main(['predict', '--run', {str(trained)!r}, '--out', {str(tmp_path / 'p.npy')!r}])"
        " == 0; assert not {'dgl', 'ogb', 'matplotlib', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_data_and_info(tiny, capsys):
    status, told, _ = run(capsys, "data", "list")
    assert status == 0 and "ogbn-arxiv" in told and "directory" in told
    status, told, _ = run(
        capsys, "data", "describe", "--config", tiny, "--set", "data.setting=inductive"
    )
    assert status == 0
    for words in (
        "300 nodes",
        "neighbours: mean",
        "edge homophily: 0.",
        "nodes per class",
        "test_observed",
        "provenance",
    ):
        assert words in told
    status, told, _ = run(capsys, "info")
    assert status == 0 and "cpu: loaded" in told and torch.__version__ in told


@pytest.mark.parametrize(
    "command", ["train", "influence", "predict", "info", "data list", "data describe"]
)
def test_help_has_an_example(command, capsys):
    status, told, _ = run(capsys, *command.split(), "--help")
    assert status == 0 and "example:" in told and "--verbose" in told


def test_entry_points(tiny, tmp_path):
    """The console script and `python -m`, from another folder; errors without a traceback."""
    script = Path(sys.executable).with_name("infgrand-dgl")
    for command in ([str(script)], [sys.executable, "-m", "infgrand_dgl"]):
        done = subprocess.run(
            [*command, "train", "--config", "demmo"], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 2
        assert done.stderr == "infgrand-dgl: error: demmo: no such file; did you mean 'demo'?\n"


# Bad input: one line, status 2, nothing half-written.


def fails(capsys, tmp_path, *arguments, told):
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    status, _, err = run(capsys, *arguments)
    assert status == 2
    lines = err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("infgrand-dgl: error: "), err
    assert told in lines[0]
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_unknown_key(tiny, tmp_path, capsys):
    fails(
        capsys,
        tmp_path,
        "train",
        "--config",
        tiny,
        "--set",
        "student.hiden=3",
        "--out",
        tmp_path / "r",
        told="student.hiden: unknown key; did you mean 'hidden'?",
    )


def test_wrong_type(tiny, tmp_path, capsys):
    fails(
        capsys,
        tmp_path,
        "train",
        "--config",
        tiny,
        "--set",
        "train.epochs=many",
        "--out",
        tmp_path / "r",
        told="train.epochs: expected an integer, found 'many'",
    )


def test_bad_seeds(tiny, tmp_path, capsys):
    fails(
        capsys,
        tmp_path,
        "train",
        "--config",
        tiny,
        "--seeds",
        "1,x",
        "--out",
        tmp_path / "r",
        told="train.seeds.1: expected an integer, found 'x'",
    )


def test_missing_config(tmp_path, capsys):
    fails(
        capsys,
        tmp_path,
        "train",
        "--config",
        tmp_path / "gone.yaml",
        "--out",
        tmp_path / "r",
        told="gone.yaml: no such file",
    )


def test_unwritable_output(tiny, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for command in (["train"], ["influence"]):
        fails(
            capsys,
            tmp_path,
            *command,
            "--config",
            tiny,
            "--out",
            tmp_path / "file" / "r",
            told=f"--out {tmp_path}/file/r: cannot be written",
        )


def test_existing_output(trained, tiny, tmp_path, capsys):
    fails(
        capsys,
        tmp_path,
        "train",
        "--config",
        tiny,
        "--out",
        trained,
        told="exists and is not empty; --overwrite replaces it",
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu(tiny, tmp_path, capsys):
    for command in ("train", "influence"):
        fails(
            capsys,
            tmp_path,
            command,
            "--config",
            tiny,
            "--device",
            "cuda",
            "--out",
            tmp_path / "r",
            told="train.device: cuda is not available",
        )


def test_seed_out_of_range(tiny, tmp_path, capsys):
    status, _, err = run(
        capsys, "influence", "--config", tiny, "--seed", "4294967296", "--out", tmp_path / "i.npy"
    )
    assert status == 2 and "expected an integer from 0 to 2^32 - 1, found '4294967296'" in err


def test_closed_pipe_is_no_error(tiny):
    done = subprocess.run(
        f"set -o pipefail; {sys.executable} -m infgrand_dgl data describe --config {tiny} | :",
        shell=True, executable="/bin/bash", capture_output=True, text=True,
    )  # fmt: skip
    assert done.stderr == ""


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
    ("file", "content", "told"),
    [
        ("features.npy", None, "features.npy: no such file"),
        ("features.npy", np.full((60, 4), np.nan), "found NaN or infinity in row 0"),
        ("features.npy", ONE_INFINITE, "found NaN or infinity in row 9"),
        ("features.npy", np.ones((61, 4)), "labels: expected shape [61], found [60]"),
        (
            "labels.npy",
            np.arange(60) % 3 - 2,
            "labels: expected 0 to 0, or -1 for none; found -2 at node 0",
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
def test_own_graph_is_broken(file, content, told, folder, tmp_path, capsys):
    if content is None:
        (folder / file).unlink()
    elif isinstance(content, dict):
        (folder / file).write_text(json.dumps(content))
    else:
        np.save(folder / file, content)
    command = ("train", "--config", tmp_path / "own.yaml", "--out", tmp_path / "r")
    fails(capsys, tmp_path, *command, told=told)
    assert not (tmp_path / "r").exists()


def test_corrupt_npz(real_data, tmp_path, capsys):
    (source,) = real_data.glob("amazon_co_buy_photo_*")
    (tmp_path / source.name).mkdir()
    (tmp_path / source.name / "amazon_co_buy_photo.npz").write_bytes(b"PK\x03\x04 broken")
    fails(
        capsys,
        tmp_path,
        "train",
        "--config",
        "amazon-photo_gcn_transductive",
        "--set",
        f"data.root={tmp_path}",
        "--out",
        tmp_path / "r",
        told="not a readable npz",
    )


def test_divergence(tiny, tmp_path, capsys):
    """What is finished stays, for another try with a lower rate."""
    options = ["--set", "teacher.lr=1e30", "--quiet", "--out", tmp_path / "r"]
    status, _, err = run(capsys, "train", "--config", tiny, *options)
    assert status == 2 and "training diverged in epoch" in err
    assert err.endswith(f"; to go on: infgrand-dgl train --resume --out {tmp_path / 'r'}\n")
    options = ["--set", "teacher.lr=0.01", "--resume", "--out", tmp_path / "r"]
    status, out, _ = run(capsys, "train", "--config", tiny, *options)
    assert status == 0 and "influence                    reused" in out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--run", "nowhere"], "--run nowhere: expected a run directory"),
        (["--seed", "77"], "--seed 77: expected one of [1, 2]"),
        (["--nodes", "high.npy"], "--nodes high.npy: expected ids 0 to 299, found 300"),
        (["--nodes", "float.npy"], "--nodes float.npy: expected integers [n], found float64 [1]"),
        (["--nodes", "gone.npy"], "gone.npy: no such file"),
        (["--nodes", "z.npz"], "z.npz: not a readable .npy file"),
        (["--propagated", "broken.npz"], "broken.npz: not a readable .npy file"),
        (["--propagated", "float.npy"], "propagated: expected floating point [n, 60]"),
    ],
)
def test_predict_errors(options, told, trained, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("high.npy", [1, 300])
    np.save("float.npy", [0.5])
    np.savez("z.npz", x=[1])
    Path("broken.npz").write_bytes(b"PK\x03\x04 broken")
    options = options if "--run" in options else ["--run", str(trained), *options]
    fails(capsys, tmp_path, "predict", *options, "--out", "p.npy", told=told)


def test_usage_errors(capsys):
    for arguments in (
        [],
        ["trai"],
        ["influence"],
        ["train", "--config"],
        ["predict", "--seed", "x"],
    ):
        status, _, err = run(capsys, *arguments)
        assert status == 2 and "usage: infgrand-dgl" in err


def test_interrupt(tiny, tmp_path, capsys, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("infgrand_dgl.experiment.train.train_teacher", interrupted)
    status, _, err = run(capsys, "train", "--config", tiny, "--out", tmp_path / "r")
    resume = f"infgrand-dgl train --resume --out {tmp_path / 'r'}"
    assert status == 130 and err == f"infgrand-dgl: interrupted; to go on: {resume}\n"
    assert not (tmp_path / "r").exists()


def test_terminal_shows_progress(tiny, tmp_path):
    """Under a pseudo-terminal a bar is drawn, and the table has a frame."""
    import pty

    main_end, other_end = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "infgrand_dgl",
        "train",
        "--config",
        str(tiny),
        "--out",
        str(tmp_path / "r"),
    ]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    process = subprocess.Popen(command, stdout=other_end, stderr=other_end, env=environment)
    os.close(other_end)
    seen = b""
    while True:
        try:
            part = os.read(main_end, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    assert process.wait() == 0
    text = seen.decode()
    assert "━" in text and "InfGraND student" in text and "5/5" in text
