import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from infgrand_dgl.nn.mlp import MLP
from infgrand_dgl.serving import load_student, save_weights

from ..conftest import refused, run


def test_predict(trained, tmp_path, capsys):
    metrics = json.loads((trained / "metrics.json").read_text())
    best = metrics["seeds"][int(np.argmax(metrics["student"]["val"]["per_seed"]))]
    out = tmp_path / "p.npy"
    status, output, _ = run(capsys, "predict", "--run", trained, "--out", out)
    classes = np.load(out)
    assert status == 0 and f"student of seed {best}" in output
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


def test_ids_from_elsewhere(tmp_path, capsys):
    """Nodes are asked for, and told, by the ids that the user's own files have."""
    N, folder = 60, tmp_path / "graph"
    names = [f"paper-{k}" for k in np.random.permutation(N)]
    folder.mkdir()
    ring = [f"{names[i]},{names[(i + 1) % N]}\n" for i in range(N)]
    (folder / "edges.csv").write_text("".join(ring))
    rows = [f"{name},{i % 2},{i % 2},{np.random.rand():.3f}\n" for i, name in enumerate(names)]
    (folder / "nodes.csv").write_text("id,label,x0,x1\n" + "".join(rows))
    settings = [f"data.root={folder}", "train.epochs=2", "student.hidden=8", "train.seeds=[0]"]
    sets = [word for each in settings for word in ("--set", each)]
    trained, out = tmp_path / "run", tmp_path / "said.csv"
    assert run(capsys, "train", "--config", "own", *sets, "--out", trained)[0] == 0
    assert run(capsys, "predict", "--run", trained, "--out", out)[0] == 0
    said = pd.read_csv(out)
    assert [*said] == ["node", "id", "class"] and [*said["id"]] == names
    wanted = tmp_path / "wanted.csv"
    wanted.write_text("".join(f"{names[i]}\n" for i in (7, 3, 7)))
    assert run(capsys, "predict", "--run", trained, "--nodes", wanted, "--out", out)[0] == 0
    assert pd.read_csv(out).equals(said.iloc[[7, 3, 7]].reset_index(drop=True))
    # New nodes have none; those of other features have.
    np.save(tmp_path / "x.npy", np.random.rand(3, 2).astype(np.float32))
    new = ["predict", "--run", trained, "--features", tmp_path / "x.npy", "--out", out]
    assert run(capsys, *new)[0] == 0 and [*pd.read_csv(out)] == ["node", "class"]
    assert run(capsys, *new, "--nodes", wanted)[0] == 2  # one of them twice
    wanted.write_text("".join(f"{names[i]}\n" for i in (7, 3, 5)))
    assert run(capsys, *new, "--nodes", wanted)[0] == 0
    assert pd.read_csv(out)["id"].tolist() == [names[i] for i in (7, 3, 5)]


@pytest.fixture
def stored(tmp_path):
    """What `predict` reads of a run, with a student of a task."""

    def stored(task, classes=None):
        path = tmp_path / "stored"
        (path / "seed-3").mkdir(parents=True)
        (path / "config.yaml").write_text("data: {name: cora}\n")
        student = {"val": {"per_seed": [0.5]}}
        (path / "metrics.json").write_text(json.dumps({"seeds": [3], "student": student}))
        np.save(path / "propagated.npy", np.random.randn(40, 5).astype(np.float32))
        save_weights(path / "seed-3/student.safetensors", MLP(5, 8, 3, layers=2), classes, task)
        return path

    return stored


def outputs(path):
    x = torch.from_numpy(np.load(path / "propagated.npy"))
    return load_student(path / "seed-3/student.safetensors")(x).detach().numpy()


@pytest.mark.parametrize("names", [None, ("art", "bio", "law")])
def test_labels(names, stored, tmp_path, capsys):
    path, out = stored("multilabel", names), tmp_path / "labels.npy"
    positive = outputs(path) > 0
    status, output, _ = run(capsys, "predict", "--run", path, "--out", out)
    found = np.load(out)
    assert status == 0 and found.dtype == np.int8 and (found == positive).all()
    counts = [f"{n}: {k}" for n, k in zip(names or range(3), positive.sum(axis=0), strict=True)]
    assert output.startswith(f"nodes by label, one column each: {', '.join(counts)}\n")

    _, output, _ = run(capsys, "predict", "--run", path, "--out", out, "--probabilities")
    probabilities = np.load(out)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-outputs(path))), rtol=1e-5)
    assert ("columns: art, bio, law\n" in output) == (names is not None)


def test_numbers(stored, tmp_path, capsys):
    path, out = stored("regression", ("height", "weight", "age")), tmp_path / "numbers.npy"
    nodes = tmp_path / "nodes.npy"
    np.save(nodes, [7, 0])
    status, output, _ = run(capsys, "predict", "--run", path, "--out", out, "--nodes", nodes)
    found = np.load(out)
    assert status == 0 and found.dtype == np.float32
    np.testing.assert_allclose(found, outputs(path)[[7, 0]], rtol=1e-5, atol=1e-6)
    assert output == f"columns: height, weight, age\nstudent of seed 3: 2 nodes; wrote {out}\n"
    command = ("predict", "--run", path, "--out", out, "--probabilities")
    assert "--probabilities: a regression has none" in refused(capsys, tmp_path, *command)


def test_predict_touches_no_graph_library(trained, tmp_path):
    code = (
        "import sys; from infgrand_dgl.cli import main; "
        f"assert main(['predict', '--run', {str(trained)!r}, '--out', {str(tmp_path / 'p.npy')!r}])"
        " == 0; assert not {'dgl', 'ogb', 'matplotlib', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--run", "nowhere"], "--run nowhere: expected a run directory"),
        (["--seed", "77"], "--seed 77: expected one of [1, 2]"),
        (["--nodes", "high.npy"], "high.npy: expected ids 0 to 299, found 300 in row 1"),
        (["--nodes", "float.npy"], "float.npy: expected integers [n], found float64 [1]"),
        (["--nodes", "gone.npy"], "gone.npy: no such file"),
        (["--nodes", "z.npz"], "z.npz: not a readable .npy file"),
        (["--propagated", "broken.npz"], "broken.npz: not a readable .npy file"),
        (
            ["--propagated", "float.npy"],
            "float.npy: expected floating point [n, 60], found float64 [1]",
        ),
    ],
)
def test_predict_errors(options, message, trained, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("high.npy", [1, 300])
    np.save("float.npy", [0.5])
    np.savez("z.npz", x=[1])
    Path("broken.npz").write_bytes(b"PK\x03\x04 broken")
    options = options if "--run" in options else ["--run", str(trained), *options]
    assert message in refused(capsys, tmp_path, "predict", *options, "--out", "p.npy")
