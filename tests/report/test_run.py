"""The page of a run."""

import json
import re
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from sklearn.metrics import confusion_matrix

from infgrand_dgl.data import load_dataset
from infgrand_dgl.experiment.directory import RunDirectory
from infgrand_dgl.report import figures
from infgrand_dgl.report.statistics import calibration
from infgrand_dgl.serving import load_student

from .conftest import made


def test_run(report, transductive):
    page = report(transductive)
    metrics = json.loads((transductive / "metrics.json").read_text())
    rows = page.rows()
    for model, name in (("teacher", "Teacher (gcn)"), ("student", "Student (InfGraND)")):
        m = metrics[model]
        cells = [m["val"], m["test"], m["macro_f1"]["test"]]
        message = [f"{100 * c['mean']:.1f} ± {100 * c['std']:.1f}" for c in cells]
        assert any(row.startswith("|".join([name, *message])) for row in rows)
    names = [row.split("|")[0] for row in rows]
    assert names[:5] == ["model", "Teacher (gcn)", "Student (InfGraND)", "GLNN", "MLP"]
    assert f"edges|{metrics['dataset']['edges']:,}, both directions and self-loops" in rows
    assert {"source|generated", "gpus|none"} <= set(rows)
    seconds = metrics["seconds"]["student"]
    spent = f"{np.mean(seconds):.2f} ± {np.std(seconds):.2f}|{sum(seconds):.2f}"
    assert f"Student, per seed|{spent}" in rows
    assert (transductive / "config.yaml").read_text() in page.text
    assert len(page.attributes("src")) == 8 == page.html.count("</figcaption>\n</figure>")


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
def test_pictures_show_what_the_stored_models_do(setting, report, request, monkeypatch):
    folder = request.getfixturevalue(setting)
    drawn: dict[str, list[Any]] = {}

    def watched(name, draw):
        def watching(*args):
            drawn.setdefault(name, []).append(args)
            return draw(*args)

        return watching

    for name in ("confusion_matrix", "reliability", "accuracy_by", "influence_by_degree"):
        monkeypatch.setattr(figures, name, watched(name, getattr(figures, name)))
    page = report(folder)

    run = RunDirectory(folder)
    seed = run.best_seed()
    assert f"Models of seed {seed}" in page.text
    dataset, seeded = load_dataset(run.config, seed), folder / f"seed-{seed}"
    here = seeded if setting == "inductive" else folder
    scores, x = np.load(here / "influence.npy"), torch.from_numpy(np.load(here / "propagated.npy"))
    p = {
        "teacher": torch.from_numpy(np.load(seeded / "teacher_logits.npy")).softmax(1).numpy(),
        "student": load_student(seeded / "student.safetensors")(x).softmax(1).detach().numpy(),
    }
    if setting == "transductive":
        for name in ("glnn", "mlp"):
            mlp = load_student(seeded / f"{name}.safetensors")
            p[name] = mlp(dataset.dense_features()).softmax(1).detach().numpy()
    labels, test = dataset.labels.numpy(), dataset.test.numpy()

    expected = confusion_matrix(labels[test], p["student"][test].argmax(1), labels=range(3))
    assert (drawn["confusion_matrix"][0][0] == expected).all()
    for model, found in drawn["reliability"][0][0].items():
        error = calibration(p[model][test], labels[test]).error
        assert found.error == pytest.approx(error, abs=1e-5)

    by_influence, by_degree = drawn["accuracy_by"]
    scored = dataset.parts.test_observed.numpy() if setting == "inductive" else test
    assert ("observed test nodes" in page.text) == (setting == "inductive")
    order = scored[np.argsort(scores[scored])]
    assert list(by_degree[1]) == list(by_influence[1]) == list(p)
    for model, counts in by_influence[1].items():
        lowest = order[: counts[0][1]]
        assert len(counts) == 5 and sum(n for _, n in counts) == len(scored)
        assert counts[0][0] == (p[model].argmax(1) == labels)[lowest].sum()
    neighbours = dataset.csr.row_lengths.numpy() - 1
    for group, (right, count) in zip(by_degree[0], by_degree[1]["student"], strict=True):
        low, *more = group.split("\n")[0].split("–")
        inside = (neighbours[test] >= int(low)) & (
            neighbours[test] <= int(more[0] if more else low)
        )
        assert count == inside.sum()
        assert right == (p["student"].argmax(1) == labels)[test[inside]].sum()
    known = ~np.isnan(scores)
    assert (drawn["influence_by_degree"][0][0] == scores[known]).all()


def test_methods_without_teacher_or_influence(report, tmp_path):
    """And a baseline that reads propagated features, as no file of the run holds them."""
    plain = made(tmp_path / "plain", "method=mlp", "train.baselines=[]")
    page = report(plain)
    assert "Student (MLP)" in page.text and "Teacher" not in page.text
    assert "<h2>Influence</h2>" not in page.html and len(page.attributes("src")) == 5
    both = made(tmp_path / "both", "method=glnn", "train.baselines=[infgrand]")
    names = [row.split("|")[0] for row in report(both).rows()]
    assert names[:4] == ["model", "Teacher (gcn)", "Student (GLNN)", "InfGraND"]


def test_saved_logits_are_the_teacher(report, run):
    config = yaml.safe_load((run / "config.yaml").read_text())
    moved = run / "theirs.npy"
    (run / "seed-1" / "teacher_logits.npy").rename(moved)
    (run / "seed-2" / "teacher_logits.npy").unlink()
    config["teacher"]["logits"] = str(moved)
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert "Teacher (saved logits)" in report(run).text


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("metrics.json", "{}", "metrics.json: not written by train"),
        ("metrics.json", "[1", "metrics.json: not written by train"),
        ("config.yaml", "data: {name: directory, root: /gone}", "/gone"),
        ("config.yaml", "data: [", "config.yaml: not valid YAML"),
        ("history.csv", None, "history.csv: no such file"),
        ("history.csv", "a,b\n1,2\n", "history.csv: not a history written by train"),
        ("influence.npy", "x", "influence.npy: not a readable .npy file"),
        ("propagated.npy", None, "propagated.npy: no such file"),
        ("seed-{}/student.safetensors", None, "student.safetensors: no such file"),
        ("seed-{}/teacher_logits.npy", None, "teacher_logits.npy: no such file"),
    ],
)
def test_damaged_runs(file, content, message, run, refused):
    path = run / file.format(RunDirectory(run).best_seed())
    path.unlink() if content is None else path.write_text(content)
    assert re.search(message, refused(run))


def test_arrays_of_another_graph(run, refused):
    np.save(run / "influence.npy", np.ones(299, np.float32))
    assert re.search(r"influence.npy: expected floating point \[300\], found float32", refused(run))
    np.save(run / f"seed-{RunDirectory(run).best_seed()}/teacher_logits.npy", np.ones((299, 3)))
    assert re.search(r"teacher_logits.npy: expected \[300, n\], found float64", refused(run))
    config = (run / "config.yaml").read_text().replace("nodes: 300", "nodes: 310")
    (run / "config.yaml").write_text(config)
    assert re.search(
        "its dataset is another one by now: expected 300 nodes, found 310", refused(run)
    )
