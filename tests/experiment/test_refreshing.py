"""Students that are trained on after an update."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from infgrand_dgl import InputError
from infgrand_dgl.data import load_source, with_split
from infgrand_dgl.experiment import refreshing
from infgrand_dgl.experiment.predictor import Predictor
from infgrand_dgl.experiment.refreshing import grown, refresh
from infgrand_dgl.experiment.train import train
from infgrand_dgl.experiment.updating import changing
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.serving import load_student, save_weights

from .updates import D, Updates

QUIET = Reporter(quiet=True)


def accuracy(made, seed) -> float:
    """On the validation nodes, of the student that the run keeps."""
    data = with_split(load_source(made.config.data), made.config.data, seed)
    said = Predictor.open(made.out, seed).stored(data.val.numpy()).argmax(axis=1)
    return float((said == data.labels[data.val].numpy()).mean())


@pytest.mark.parametrize("method", ["infgrand", "glnn"])
def test_refresh(method, tmp_path):
    """From weights of three epochs; metrics and card are of what the run keeps; new nodes have no
    labels, and the arrays of the update are what students read."""
    made = Updates(tmp_path, method=method, train={"seeds": [1, 2]})
    made.update(add=4, remove=4, nodes=2)
    before = {seed: accuracy(made, seed) for seed in (1, 2)}
    weights = {seed: load_file(made.run.weights(seed, "student")) for seed in (1, 2)}
    found = refresh(made.run, 40, QUIET)
    metrics = json.loads((made.out / "metrics.json").read_text())
    for k, seed in enumerate((1, 2)):
        assert found[seed].before == pytest.approx(before[seed])
        kept = max(found[seed].before, found[seed].after)
        assert accuracy(made, seed) == pytest.approx(kept)
        assert metrics["student"]["val"]["per_seed"][k] == pytest.approx(kept)
        now = load_file(made.run.weights(seed, "student"))
        same = all(torch.equal(now[name], weights[seed][name]) for name in now)
        assert same == (found[seed].weights is None) == (found[seed].after <= before[seed])
    csr = made.edges.csr()
    sizes = {key: metrics["dataset"][key] for key in ("nodes", "edges")}
    assert sizes == {"nodes": made.edges.nodes, "edges": csr.num_edges}
    assert (
        f"{csr.num_rows:,} nodes, {csr.num_edges:,} edges" in (made.out / "README.md").read_text()
    )
    lines = [json.loads(line) for line in (made.out / "updates.jsonl").read_text().splitlines()]
    assert [line.get("refresh") for line in lines] == [None, 1]
    stages = json.loads((made.out / "stages.json").read_text())
    assert [f"seed-{s}/student" in stages for s in (1, 2)] == [
        found[s].weights is None for s in (1, 2)
    ]
    train(made.config, made.out, overwrite=True, report=QUIET)  # of the dataset's graph
    for seed in (1, 2):
        now = load_file(made.run.weights(seed, "student"))
        assert all(torch.equal(now[name], weights[seed][name]) for name in now)


@torch.no_grad()
def constant(path, k):
    """A student of that shape that always says class k."""
    student = load_student(path)
    *others, bias = student.parameters()
    for weights in (*others, bias):
        weights.zero_()
    bias[k] = 1
    return student


@pytest.mark.parametrize("better", [True, False])
def test_the_better_student_stays(better, tmp_path, monkeypatch):
    """One says the most, the other the least frequent class of the validation nodes."""
    made = Updates(tmp_path)
    made.update()
    path, source = made.run.weights(1, "student"), load_source(made.config.data)
    data = with_split(source, made.config.data, 1)
    counts = data.labels[data.val].bincount(minlength=source.num_classes)
    order = counts.argsort()
    replaced = better and bool(counts[order[-1]] > counts[order[0]])  # of equals the known one
    known, trained = (constant(path, int(k)) for k in order[[0, -1] if better else [-1, 0]])
    save_weights(path, known)
    file = path.read_bytes()
    monkeypatch.setattr(refreshing, "train_student", lambda *arguments, **settings: trained)
    (found,) = refresh(made.run, 2, QUIET).values()
    assert (found.after > found.before) == replaced == (found.weights is trained)
    assert (path.read_bytes() != file) == replaced
    said = load_student(path)(torch.zeros(1, D)).argmax()
    assert counts[said] == counts.max()


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_other_tasks(task, tmp_path):
    made = Updates(tmp_path, task, weighted=True)
    made.update(nodes=3)
    (found,) = refresh(made.run, 30, QUIET).values()
    assert np.isfinite([found.before, found.after]).all()
    assert Predictor.open(made.out).stored().shape == (made.edges.nodes, 3)


def test_the_dataset_that_it_trains_on(tmp_path):
    made = Updates(tmp_path)
    made.update(add=3, remove=3, nodes=2, change=4)
    source = with_split(load_source(made.config.data), made.config.data, 1)
    with changing(made.run) as state:
        data = grown(source, state)
    expected = made.edges.csr()
    assert torch.equal(data.csr.indices, expected.indices)
    np.testing.assert_allclose(data.features, made.x, rtol=1e-6)
    assert data.labels[-2:].tolist() == [-1, -1] and torch.equal(data.labels[:-2], source.labels)
    assert torch.equal(data.val, source.val) and data.num_features == D


def test_what_is_refused(tmp_path):
    made = Updates(tmp_path)
    with pytest.raises(InputError, match="--refresh: .* was not updated"):
        refresh(made.run, 2, QUIET)
    made.update()
    config = made.config.replace("data", label_choice="high", label_rate=0.5)
    (made.out / "config.yaml").write_text(config.to_yaml())
    with pytest.raises(InputError, match="--refresh: data.label_choice goes by influence"):
        refresh(made.run, 2, QUIET)
    config = made.config.replace("teacher", logits=str(tmp_path / "given.npy"))
    (made.out / "config.yaml").write_text(config.to_yaml())
    with pytest.raises(InputError, match="--refresh: teacher.logits are of the graph as it was"):
        refresh(made.run, 2, QUIET)
    (made.out / "config.yaml").write_text(made.config.to_yaml())
    labels = np.load(made.root / "labels.npy")
    np.save(made.root / "labels.npy", labels[::-1])
    with pytest.raises(InputError, match="--refresh: the dataset of .* is another than that which"):
        refresh(made.run, 2, QUIET)
