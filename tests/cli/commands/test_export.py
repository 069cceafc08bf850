"""`export` of runs that were trained, and the cards of both as somebody else reads them."""

import hashlib
import importlib.util
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
import yaml

from infgrand_dgl.data import load_source
from infgrand_dgl.experiment.directory import RunDirectory
from infgrand_dgl.serving.formats import FORMATS
from tests.tasks import settings, write

from ..conftest import refused, run

ROOT = Path(__file__).parents[3]


def card(folder):
    """The front matter and the rest."""
    _, front, text = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front), text


def python(text, naming=""):
    """The one block of code, or the one that names something."""
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    (code,) = (block for block in blocks if naming in block)
    return code


@pytest.mark.parametrize("format", FORMATS)
def test_export(format, trained, tmp_path, capsys, monkeypatch):
    out = tmp_path / "exported"
    command = ("export", "--run", trained, "--format", format, "--seed", 2, "--out", out)
    status, output, _ = run(capsys, *command)
    assert status == 0 and output.startswith("student of seed 2 as ")
    assert "asked about 300 nodes its answers differ from the student's by at most" in output
    said = json.loads((out / "specification.json").read_text())
    assert (said["name"], said["seed"], said["method"]) == ("synthetic", 2, "infgrand")
    content = (trained / "propagated.npy").read_bytes()
    assert said["inputs"] == {
        "width": 60,
        "features": 60,
        "positions": 0,
        "hops": 2,
        "pooling": "mean",
        "self_loop_weight": 1.0,
        "row_normalize": True,
        "standardize": False,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    front, text = card(out)
    metrics = json.loads((trained / "metrics.json").read_text())["student"]
    (model,) = front["model-index"]
    values = {m["type"]: m["value"] for m in model["results"][0]["metrics"]}
    assert values["accuracy"] == pytest.approx(metrics["test"]["per_seed"][1], abs=1e-6)
    assert values.keys() == {"accuracy", "macro_f1"}
    assert front["pipeline_tag"] == "tabular-classification"
    if format != "triton":
        monkeypatch.chdir(out)
        names: dict[str, object] = {}
        exec(python(text), names)
        assert tuple(names["probabilities"].shape) == (10, 3)  # type: ignore[attr-defined]

    assert "is not empty; --overwrite" in refused(capsys, tmp_path, *command)
    assert run(capsys, *command, "--overwrite")[0] == 0
    (out / "mine.txt").write_text("mine")
    assert "would delete mine.txt" in refused(capsys, tmp_path, *command, "--overwrite")
    (out / "mine.txt").unlink()
    (out / "synthetic").mkdir(exist_ok=True)
    (out / "synthetic/mine.txt").write_text("mine")
    assert "delete synthetic/mine.txt" in refused(capsys, tmp_path, *command, "--overwrite")


def test_onnx_predicts_as_predict_does(trained, tmp_path, capsys):
    out, file = tmp_path / "exported", tmp_path / "p.npy"
    run(capsys, "predict", "--run", trained, "--out", file, "--probabilities")
    quiet = run(capsys, "export", "--run", trained, "--format", "onnx", "--out", out, "-q")
    assert quiet == (0, "", "")
    session = onnxruntime.InferenceSession(out / "model.onnx")
    x = np.load(trained / "propagated.npy")
    found = session.run(["probabilities"], {"x": x})[0]
    np.testing.assert_allclose(found, np.load(file), rtol=1e-5, atol=1e-5)


def test_page(trained, tmp_path, monkeypatch, capsys):
    """docs/serving.md's code, where its names lead to this run."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/cora").symlink_to(trained)
    monkeypatch.chdir(tmp_path)
    run(capsys, "export", "--run", "runs/cora", "--format", "onnx", "--out", "exports/cora")
    run(capsys, "predict", "--run", "runs/cora", "--out", "c.npy")
    page = (ROOT / "docs/serving.md").read_text()
    exec(python(page, "onnxruntime"), {})
    assert capsys.readouterr().out.strip() == str(np.load("c.npy")[[3, 1, 4]].tolist())
    names: dict[str, Any] = {}
    exec(python(page, "Predictor"), names)
    assert names["predictor"].seed == names["predictor"].run.best_seed()


def test_commands_of_the_page(trained, tmp_path, monkeypatch, capsys):
    """One after the other, but for the service, which does not end."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/cora").symlink_to(trained)
    monkeypatch.chdir(tmp_path)
    csr = load_source(RunDirectory.open(trained).config.data).csr
    lonely = int(csr.row_lengths.argmin())
    far = sorted(
        set(range(300)) - set(csr.indices[csr.entries_of(torch.tensor([lonely]))].tolist())
    )
    near = int(csr.indices[csr.entries_of(torch.tensor([far[0]]))].max())
    np.save("new.npy", np.random.rand(2, 60))
    np.save("nodes.npy", np.random.rand(2, 60))
    np.save("edges.npy", [[300, 5], [301, 300]])
    Path("edges.csv").write_text("300,5\n301,300\n")
    np.save("added.npy", [[lonely, far[0]]])
    np.save("removed.npy", [[far[0], near]])
    x = pd.DataFrame(np.load(trained / "propagated.npy")).add_prefix("x")
    x.to_parquet("rows.parquet")
    x[:3].assign(id=[4, 2, 0]).to_parquet("features.parquet")
    page = (ROOT / "docs/serving.md").read_text()
    lines = "\n".join(re.findall(r"```bash\n(.*?)```", page, flags=re.S)).splitlines()
    commands = [
        shlex.split(line, comments=True)[1:] for line in lines if line.startswith("infgrand")
    ]
    asked = [command for command in commands if command[0] != "serve"]
    assert len(asked) == 9 and len(commands) == 10
    for command in asked:
        status, _, err = run(capsys, *command)
        assert status == 0, (command, err)
    assert len(np.load("classes.npy")) == 300 and len(pd.read_csv("likeliest.csv")) == 300
    assert len(RunDirectory.open(trained).propagated(1)) == 302


def test_notes_of_somebody_are_no_card(trained, tiny, tmp_path, capsys):
    command = ("train", "--config", tiny, "--out", trained, "--overwrite")
    assert run(capsys, *command)[0] == 0
    (trained / "README.md").write_text("# What I found\n")
    assert "--overwrite would delete README.md" in refused(capsys, tmp_path, *command)


def test_calibrated(trained, tmp_path, capsys):
    """The same classes; probabilities of the logits at the run's temperature, in predict, export
    and card; in a run that is older than this an error."""
    out, file = tmp_path / "exported", tmp_path / "p.npy"
    path = trained / "metrics.json"
    metrics = json.loads(path.read_text())
    temperatures = metrics["student"]["temperature"]["per_seed"]
    assert all(0.01 <= T <= 100 for T in temperatures)
    calibrated = ("--run", trained, "--seed", 2, "--calibrated")
    run(capsys, "export", *calibrated, "--format", "onnx", "--out", out)
    run(capsys, "predict", *calibrated, "--probabilities", "--out", file)
    session = onnxruntime.InferenceSession(out / "model.onnx")
    x = np.load(trained / "propagated.npy")
    logits, probabilities = session.run(None, {"x": x})
    powers = np.exp(logits / temperatures[1])
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.load(file), expected, rtol=1e-4, atol=1e-6)
    said = json.loads((out / "specification.json").read_text())
    assert said["temperature"] == pytest.approx(temperatures[1])
    assert "calibrated on the validation nodes" in card(out)[1]
    assert "are not calibrated" in card(trained)[1]

    wrong = refused(capsys, tmp_path, "predict", *calibrated, "--out", file)
    assert "--calibrated: only with --probabilities" in wrong
    del metrics["student"]["temperature"]
    path.write_text(json.dumps(metrics))
    options = ("predict", *calibrated, "--probabilities", "--out", file)
    assert "has no temperature" in refused(capsys, tmp_path, *options)


def test_card_of_a_run(trained, tmp_path, monkeypatch, capsys):
    front, text = card(trained)
    metrics = json.loads((trained / "metrics.json").read_text())
    student = metrics["student"]
    mean, std = (f"{100 * student['test'][key]:.1f}" for key in ("mean", "std"))
    assert f"{mean} ± {std} %" in text and "over 2 seeds" in text
    assert "InfGraND student of synthetic" in text and "300 nodes" in text
    (model,) = front["model-index"]
    assert model["results"][0]["metrics"][0]["value"] == pytest.approx(student["test"]["mean"])
    (settings,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.S)
    again = tmp_path / "again.yaml"
    again.write_text(settings)
    assert run(capsys, "train", "--config", again, "--out", tmp_path / "again")[0] == 0
    found = json.loads((tmp_path / "again/metrics.json").read_text())["student"]
    assert found["test"] == student["test"]

    monkeypatch.chdir(trained)
    names: dict[str, object] = {}
    exec(python(text), names)
    out = tmp_path / "c.npy"
    run(capsys, "predict", "--run", trained, "--out", out, "--seed", 1)
    np.testing.assert_array_equal(names["classes"], np.load(out))


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_other_tasks(task, tmp_path, capsys, monkeypatch):
    graph, path, out = tmp_path / "private" / "graph", tmp_path / "run", tmp_path / "exported"
    graph.parent.mkdir()
    given = ("--seeds", "1", "--out", path, "--set", *settings(write(graph, task)))
    status, _, err = run(capsys, "train", "--config", "own", *given)
    assert status == 0, err
    assert run(capsys, "export", "--run", path, "--format", "onnx", "--out", out)[0] == 0
    for folder in (path, out):
        front, text = card(folder)
        assert "private" not in text and "root: graph" in text
        of = {"multilabel": "classification", "regression": "regression"}[task]
        assert front["pipeline_tag"] == f"tabular-{of}"
        monkeypatch.chdir(folder)
        names: dict[str, object] = {}
        exec(python(text), names)
        assert ("values" in names) == (task == "regression")


def test_inductive(tiny, tmp_path, capsys):
    path, out = tmp_path / "run", tmp_path / "exported"
    setting = ("--seeds", "1", "--set", "data.setting=inductive", "student.features=raw")
    assert run(capsys, "train", "--config", tiny, "--out", path, *setting)[0] == 0
    for folder in (path, out):
        if folder == out:
            run(capsys, "export", "--run", path, "--format", "safetensors", "--out", out)
            said = json.loads((out / "specification.json").read_text())["inputs"]
            assert said["hops"] == 0
        _, text = card(folder)
        (header,) = re.findall(r"^\| metric.*$", text, flags=re.M)
        assert header == "| metric | validation | test | test, observed | test, cold |"
        assert "hidden in training" in text and "Features as they are" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--name", "a/b"], "--name: expected up to 100 letters, .* found 'a/b'"),
        (["--name", "../x"], "found '../x'"),
        (["--name", "specification.json"], "no file's name of an export; found 'spec"),
        (["--name", "x" * 101], "expected up to 100 letters"),
        (["--seed", "77"], r"--seed 77: expected one of \[1, 2\]"),
        (["--run", "nowhere"], "--run nowhere: expected a run directory"),
        (["--format", "tensorflow"], "invalid choice: 'tensorflow'"),
        (["--dtype", "int8"], "invalid choice: 'int8'"),
    ],
)
def test_errors(options, message, trained, tmp_path, capsys):
    command = ["export", "--run", trained, "--format", "onnx", "--out", tmp_path / "e", *options]
    before = sorted(tmp_path.rglob("*"))
    status, _, err = run(capsys, *command)
    assert status == 2 and re.search(message, err) and sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("format", ["torch", "safetensors"])
def test_a_full_disk(format, trained, tmp_path, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    command = ("export", "--run", trained, "--format", format, "--out", tmp_path / "out")
    told = refused(capsys, tmp_path, *command)
    assert "out: cannot be written (No space left on device)" in told


def test_without_onnx(trained, tmp_path, capsys, monkeypatch):
    real = importlib.util.find_spec

    def find_spec(name, *rest):
        return None if name == "onnxscript" else real(name, *rest)

    monkeypatch.setattr("infgrand_dgl.system.installed.find_spec", find_spec)
    command = ("export", "--run", trained, "--out", tmp_path / "e", "--format")
    said = "onnxscript is not installed (pip install infgrand-dgl[serve])"
    for format in ("onnx", "triton"):
        assert f"--format {format}: {said}" == refused(capsys, tmp_path, *command, format)
    assert run(capsys, *command, "torch")[0] == 0


def test_damaged_runs(trained, tmp_path, capsys):
    command = ("export", "--run", trained, "--format", "onnx", "--out", tmp_path / "e")
    inputs = np.load(trained / "propagated.npy")
    np.save(trained / "propagated.npy", inputs[:, :9])
    assert "expected [n, 60], found [300, 9]" in refused(capsys, tmp_path, *command)
    (trained / "propagated.npy").write_bytes(b"nonsense")
    assert "not a readable .npy file" in refused(capsys, tmp_path, *command)
    for other in (np.float32(1), np.array([["a"]]), inputs[0]):
        np.save(trained / "propagated.npy", other)
        assert "expected floating point [N, D], found" in refused(capsys, tmp_path, *command)
    np.save(trained / "propagated.npy", inputs)
    metrics = json.loads((trained / "metrics.json").read_text())
    del metrics["dataset"]
    (trained / "metrics.json").write_text(json.dumps(metrics))
    assert "metrics.json: not written by train" in refused(capsys, tmp_path, *command)
