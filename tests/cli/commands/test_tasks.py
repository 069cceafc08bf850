"""Several labels, or numbers, of each node: trained, shown and served, by commands alone."""

import json
import re

import numpy as np
import pytest

from infgrand_dgl.experiment.directory import RunDirectory
from infgrand_dgl.training.metrics import METRICS, USUAL
from tests import tasks

from ..conftest import refused, run


@pytest.fixture(params=["multilabel", "regression"])
def task(request):
    return request.param


def trained(capsys, tmp_path, task, *more):
    folder, out = tasks.write(tmp_path / "graph", task), tmp_path / "run"
    small = [*tasks.settings(folder), "train.seeds=[1,2]", "train.baselines=[mlp]", *more]
    status, output, _ = run(capsys, "train", "--config", "own", "--out", out, "--set", *small)
    assert status == 0
    return folder, out, output


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
def test_train_report_predict(task, setting, tmp_path, capsys):
    folder, out, output = trained(capsys, tmp_path, task, f"data.setting={setting}")
    metrics, metric = json.loads((out / "metrics.json").read_text()), METRICS[USUAL[task]]
    assert metrics["metric"] == metric.name and metrics["dataset"]["task"] == task
    student = metrics["student"][metric.name]["test"]
    assert f"{metric.title('test')}  " in output and metric.over_seeds(student) in output

    page = tmp_path / "page.html"
    assert run(capsys, "report", out, "--out", page)[0] == 0
    html = page.read_text()
    assert metric.over_seeds(student) in html and metric.title("test") in html
    titles = ["Labels and calibration", "Where the models are right"]
    if task == "regression":
        titles = ["Predictions and residuals", "Where the models err"]
    for title in titles:
        assert f"<h2>{title}</h2>" in html
    shown = html.replace((out / "config.yaml").read_text(), "").lower()
    assert not [word for word in ("confusion", "largest class", " classes") if word in shown]
    assert f"3 {'labels' if task == 'multilabel' else 'target columns'}; {setting}" in html
    kept = metrics["student"]["per_class"][metric.name]["test"]
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    for k in range(3):
        cell = metric.over_seeds({key: kept[key][k] for key in ("mean", "std")})
        name = f'<th scope="row">{k}</th>'
        assert [row for row in rows if name in row and cell in row]

    predictions = tmp_path / "p.npy"
    assert run(capsys, "predict", "--run", out, "--out", predictions)[0] == 0
    found, labels = np.load(predictions), np.load(folder / "labels.npy")
    assert found.shape == labels.shape
    best = RunDirectory(out).best_seed()
    if setting == "transductive":  # every test node is one
        test = json.loads((folder / "splits.json").read_text())["test"]
        mine, true = found[test].astype(float), labels[test]
        known = ~np.isnan(true)
        name, columns = "accuracy", [(mine == true)[known[:, c], c].mean() for c in range(3)]
        if task == "regression":
            name = "mae"
            columns = [np.abs(mine - true)[known[:, c], c].mean() for c in range(3)]
        per_seed = metrics["student"][name]["test"]["per_seed"]
        expected = per_seed[metrics["seeds"].index(best)]
        assert np.mean(columns) == pytest.approx(expected, rel=1e-4)


def test_less_is_better_where_it_is(tmp_path, capsys):
    """The student that serves, and what is told of it, has the least error."""
    _, out, output = trained(capsys, tmp_path, "regression", "train.metric=rmse")
    metrics = json.loads((out / "metrics.json").read_text())
    per_seed = metrics["student"]["rmse"]["val"]["per_seed"]
    best = metrics["seeds"][int(np.argmin(per_seed))]
    assert RunDirectory(out).best_seed() == best
    assert "validation RMSE  " in output and "%" not in output.split("model  ")[1]
    assert f"student of seed {best}:" in run(
        capsys, "predict", "--run", out, "--out", tmp_path / "p.npy"
    )[1]  # fmt: skip


def test_another_task_is_another_dataset(task, tmp_path, capsys):
    """The report of a run whose labels have become others'."""
    folder, out, _ = trained(capsys, tmp_path, task, "train.seeds=[1]", "train.epochs=2")
    labels = np.load(folder / "labels.npy")
    other = np.where(np.isnan(labels), np.nan, labels > 1) if task == "regression" else labels + 0.5
    np.save(folder / "labels.npy", other.astype(np.float32))
    config = (out / "config.yaml").read_text()
    (out / "config.yaml").write_text(
        config.replace(f"metric: {USUAL[task]}", "metric: null").replace(
            f"task: {task}", "task: auto"
        )
    )
    message = refused(capsys, tmp_path, "report", out, "--out", tmp_path / "page.html")
    assert f"its dataset is another one by now: expected labels of {task}, found" in message
