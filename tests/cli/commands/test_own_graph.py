"""A graph of the user's own, from its files to classes of nodes: what they called them comes back."""

import json

import numpy as np
import pytest

from infgrand_dgl.graph.dgl_bridge import dgl
from infgrand_dgl.serving import load_classes

from ..conftest import refused, run

N = 90
CODES = {"codes": np.array([111, 5411, 9999]), "names": np.array(["arte", "biología", "cs"])}


@pytest.fixture
def own(tmp_path):
    """Edges inside three classes, features that tell them, 45 of 90 nodes in the splits."""
    folder = tmp_path / "graph"
    folder.mkdir()
    classes = np.random.permutation(np.arange(N) % 3)
    order = np.argsort(classes)
    edges = np.stack([np.random.permutation(order.reshape(3, 30).T).T.ravel() for _ in range(6)])
    np.save(folder / "edges.npy", np.concatenate([edges[k : k + 2].T for k in (0, 2, 4)]))
    np.save(folder / "features.npy", np.eye(3)[classes] + 0.1 * np.random.rand(N, 3))
    np.save(folder / "labels.npy", classes)
    parts = {"train": order[::6], "val": order[1::6], "test": order[2::6]}
    write_splits(folder, parts)
    config = tmp_path / "own.yaml"
    config.write_text(
        f"data: {{name: directory, root: {folder}}}\nteacher: {{hidden: 8}}\n"
        "student: {hidden: 8, dropout: 0.0}\n"
        "train: {epochs: 40, seeds: [1], device: cpu}\n"
    )
    return folder, config, classes, parts


def write_splits(folder, parts):
    (folder / "splits.json").write_text(json.dumps({k: ids.tolist() for k, ids in parts.items()}))


def write_masks(folder, parts, shift):
    """graph.bin with two splits, the second of which is the first by `shift` nodes further on."""
    edges = np.load(folder / "edges.npy")
    graph = dgl.graph((edges[:, 0], edges[:, 1]), num_nodes=N)
    for part, ids in parts.items():
        masks = np.zeros((N, 2), np.uint8)
        masks[ids, 0] = masks[(ids + shift) % N, 1] = 1
        graph.ndata[f"{part}_mask"] = dgl.backend.tensor(masks)
    dgl.save_graphs(str(folder / "graph.bin"), [graph])
    for file in ("edges.npy", "splits.json"):
        (folder / file).unlink()


@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("prepared", [False, True], ids=["files", "prepared"])
def test_classes_come_back(kind, prepared, own, tmp_path, capsys):
    folder, config, classes, _ = own
    np.save(folder / "labels.npy", CODES[kind][classes])
    settings = ["--set", "train.baselines=[]"]
    if prepared:
        place = tmp_path / "prepared"
        assert run(capsys, "data", "prepare", "--config", config, "--out", place)[0] == 0
        settings.append(f"data.prepared={place}")
    out, found = tmp_path / "run", tmp_path / "found.npy"
    assert run(capsys, "train", "--config", config, *settings, "--out", out)[0] == 0

    assert run(capsys, "predict", "--run", out, "--out", found)[0] == 0
    named = np.load(found)
    assert named.dtype.kind == CODES[kind].dtype.kind
    assert (named == CODES[kind][classes]).mean() > 0.9
    command = ("predict", "--run", out, "--out", found, "--probabilities")
    _, output, _ = run(capsys, *command)
    assert f"columns: {', '.join(map(str, CODES[kind]))}\n" in output
    assert (CODES[kind][np.load(found).argmax(1)] == named).all()
    stored = load_classes(out / "seed-1/student.safetensors")
    assert stored is not None and stored.tolist() == CODES[kind].tolist()

    page = tmp_path / "page.html"
    assert run(capsys, "report", out, "--out", page)[0] == 0
    assert ", ".join(map(str, CODES[kind])) in page.read_text()
    _, output, _ = run(capsys, "data", "describe", "--config", config, *settings)
    counts = ", ".join(f"{code}: 30" for code in CODES[kind])
    assert f"nodes per class: {counts}\n" in output


def test_other_names_are_another_dataset(own, tmp_path, capsys):
    """Students are trained again: their files hold the names."""
    folder, config, classes, _ = own
    out = tmp_path / "run"
    for names in (["a", "b", "c"], ["d", "e", "f"]):
        np.save(folder / "labels.npy", np.array(names)[classes])
        assert run(capsys, "train", "--config", config, "--out", out, "--overwrite")[0] == 0
        stored = load_classes(out / "seed-1/student.safetensors")
        assert stored is not None and stored.tolist() == names


def test_inductive_sees_all_but_the_hidden(own, tmp_path, capsys):
    _, config, _, _ = own
    command = ("train", "--config", config, "--out", tmp_path / "run", "--fresh", "--overwrite")
    inductive = ("--set", "data.setting=inductive")
    _, output, _ = run(capsys, *command, *inductive)
    assert "training sees 87 of 90 nodes: 3 test nodes are hidden\n" in output
    _, output, _ = run(capsys, *command, *inductive, "data.observed=authors")
    left_out = "45 in no split are left out (data.observed: authors)\n"
    assert f"training sees 42 of 90 nodes: 3 test nodes are hidden, {left_out}" in output
    assert "training sees" not in run(capsys, *command)[1]
    _, output, _ = run(capsys, "data", "describe", "--config", config)
    assert output.endswith("training sees all 90 nodes\n")


def test_classes_without_training_nodes_are_told_once(own, tmp_path, capsys):
    folder, config, classes, parts = own
    train = parts["train"][classes[parts["train"]] != 1]
    write_splits(folder, {**parts, "train": train})
    command = ("--config", config, "--set", "train.seeds=[1, 2]")
    _, _, err = run(capsys, "train", *command, "--out", tmp_path / "run")
    told = "1 of 3 classes have no training node, so that no model learns them: 1\n"
    assert err.count(told) == 1
    assert told in run(capsys, "data", "describe", *command)[1]


@pytest.mark.parametrize("prepared", [False, True], ids=["files", "prepared"])
def test_one_split_a_seed(prepared, own, tmp_path, capsys):
    """Seeds 2 and 3 take splits 0 and 1, of files or of a prepared folder."""
    folder, config, _, parts = own
    write_masks(folder, parts, 1)
    settings = ["--set", "train.seeds=[2, 3]", "train.epochs=2"]
    if prepared:
        place = tmp_path / "prepared"
        assert run(capsys, "data", "prepare", "--config", config, "--out", place)[0] == 0
        settings.append(f"data.prepared={place}")
    out = tmp_path / "run"
    command = ("train", "--config", config, *settings)
    message = refused(capsys, tmp_path, *command, "--out", out)
    assert "has 2 splits, [90, 2]: expected 0 to 1 for one of them, or seed" in message
    assert run(capsys, *command, "data.split=seed", "--out", out)[0] == 0
    both = json.loads((out / "metrics.json").read_text())["student"]["test"]["per_seed"]
    for number, seed in enumerate((2, 3)):
        alone = tmp_path / f"alone{number}"
        given = (f"data.split={number}", f"train.seeds=[{seed}]")
        assert run(capsys, *command, *given, "--out", alone)[0] == 0
        one = json.loads((alone / "metrics.json").read_text())["student"]["test"]["per_seed"]
        assert one == [both[number]]


def test_several_splits_are_described_together(own, tmp_path, capsys):
    """Sizes once where they are equal; classes that a split does not train; one that is chosen."""
    folder, config, classes, parts = own
    fewer = {**parts, "train": parts["train"][classes[parts["train"]] != 2]}
    content = [{p: ids.tolist() for p, ids in each.items()} for each in (parts, parts, fewer)]
    (folder / "splits.json").write_text(json.dumps(content))
    command = ("data", "describe", "--config", config)
    status, output, err = run(capsys, *command)
    assert status == 0, err
    sizes = {part: len(ids) for part, ids in parts.items()}
    told = (
        f"splits: 3, each train {len(fewer['train'])} to {sizes['train']}, val {sizes['val']}, "
        f"test {sizes['test']} (data.split: 0 to 2, or seed, chooses)\n"
    )
    assert told in output and output.count("training sees all 90 nodes") == 1
    missing = "1 of 3 classes have no training node"
    assert output.count(missing) == 1 and f"split 2: {missing}" in output
    _, output, _ = run(capsys, *command, "--set", "data.split=seed", "train.seeds=[4]")
    assert f"split: train {sizes['train']}, val {sizes['val']}, test" in output
    # What is wrong with one of them is told.
    content[1]["val"] = [1000]
    (folder / "splits.json").write_text(json.dumps(content))
    assert "val" in refused(capsys, tmp_path, *command)


def test_a_split_that_is_none_is_found_before_training(own, tmp_path, capsys):
    """Of the last seed."""
    folder, config, _, parts = own
    splits = [{k: ids.tolist() for k, ids in parts.items()} for _ in range(3)]
    splits[2]["test"] = splits[2]["val"]
    (folder / "splits.json").write_text(json.dumps(splits))
    command = ("train", "--config", config, "--set", "data.split=seed", "train.seeds=[0, 1, 2]")
    message = refused(capsys, tmp_path, *command, "--out", tmp_path / "run")
    assert message.startswith(str(folder)) and "is in the splits twice (val, test)" in message


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
@pytest.mark.parametrize("labels", ["missing", "unknown", "partial"])
def test_classes_of_new_nodes(setting, labels, own, tmp_path, capsys):
    """propagate and influence take a graph and features alone; predict says the classes."""
    folder, config, classes, parts = own
    settings = ("--set", f"data.setting={setting}")
    out = tmp_path / "run"
    assert run(capsys, "train", "--config", config, *settings, "--out", out)[0] == 0
    whole, found = tmp_path / "whole.npy", tmp_path / "found.npy"
    run(capsys, "propagate", "--config", config, "--out", whole)
    (folder / "splits.json").unlink()
    if labels == "missing":
        (folder / "labels.npy").unlink()
    elif labels == "unknown":
        np.save(folder / "labels.npy", np.full(N, -1))
        write_splits(folder, {part: ids[:0] for part, ids in parts.items()})
    for command in ("influence", "propagate"):
        again = (command, "--config", out / "config.yaml", "--out", found)
        status, output, _ = run(capsys, *again)
        assert status == 0
        assert ("no split, so that no node is hidden" in output) == (setting == "inductive")
    assert np.array_equal(np.load(found), np.load(whole))
    predicted = tmp_path / "predicted.npy"
    run(capsys, "predict", "--run", out, "--propagated", found, "--out", predicted)
    assert (np.load(predicted) == classes).mean() > 0.9

    described = run(capsys, "data", "describe", "--config", config)[1]
    assert "split: none (" in described
    message = refused(capsys, tmp_path, "train", "--config", config, "--out", tmp_path / "again")
    assert message.startswith(str(folder)) and ("labels.npy" in message) == (labels != "partial")


def test_new_nodes_prepared(own, tmp_path, capsys):
    folder, config, _, _ = own
    whole, found, place = (tmp_path / name for name in ("whole.npy", "found.npy", "prepared"))
    run(capsys, "propagate", "--config", config, "--out", whole)
    for file in ("labels.npy", "splits.json"):
        (folder / file).unlink()
    assert run(capsys, "data", "prepare", "--config", config, "--out", place)[0] == 0
    command = ("--config", config, "--set", f"data.prepared={place}")
    assert run(capsys, "propagate", *command, "--out", found)[0] == 0
    assert np.array_equal(np.load(found), np.load(whole))
    message = refused(capsys, tmp_path, "train", *command, "--out", tmp_path / "run")
    assert message == f"{folder}/labels.npy: no such file: training needs it"


def test_bad_splits_are_not_prepared(own, tmp_path, capsys):
    folder, config, _, parts = own
    write_splits(folder, {**parts, "val": parts["train"]})
    command = ("data", "prepare", "--config", config, "--out", tmp_path / "prepared")
    assert "is in the splits twice (train, val)" in refused(capsys, tmp_path, *command)


def test_influence_of_a_teacher_without_labels(own, tmp_path, capsys):
    folder, config, _, _ = own
    for file in ("labels.npy", "splits.json"):
        (folder / file).unlink()
    np.save(tmp_path / "logits.npy", np.random.randn(N, 4).astype(np.float32))
    settings = ("influence.measure=entropy", f"teacher.logits={tmp_path}/logits.npy")
    command = ("influence", "--config", config, "--out", tmp_path / "i.npy", "--set", *settings)
    assert run(capsys, *command)[0] == 0
    assert np.isfinite(np.load(tmp_path / "i.npy")).all()
    np.save(tmp_path / "logits.npy", np.random.randn(N - 1, 4).astype(np.float32))
    assert "expected floating-point logits of shape [90, " in refused(capsys, tmp_path, *command)
