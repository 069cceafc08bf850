"""Runs whose graphs change, against all of it from scratch. (Processes that end half way:
test_interrupted_updates.py.)"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.config.schema import Config
from infgrand_dgl.experiment import graph_state
from infgrand_dgl.experiment.answering import of_joining
from infgrand_dgl.experiment.graph_state import GraphState
from infgrand_dgl.experiment.predictor import Predictor
from infgrand_dgl.experiment.train import train
from infgrand_dgl.experiment.updating import Update, update
from infgrand_dgl.graph.changing import Edits
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.propagation.inputs import propagation_of
from infgrand_dgl.system import redo

from .updates import D, Updates

NO_EDGES = torch.empty(0, 2, dtype=torch.long)

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "counts": {"signed": False, "data": {"row_normalize": True}},
    "weighted": {
        "weighted": True,
        "teacher": {"model": "sage", "residual": True, "layers": 3},
        "propagation": {"pooling": "max", "self_loop_weight": 2.0},
    },
    "gat of DGL": {
        "teacher": {"model": "gat", "heads": 2, "backend": "dgl"},
        "student": {"model": "sign"},
        "propagation": {"hops": 3},
        "influence": {"hops": 1, "normalization": "max"},
    },
    "deep": {
        "teacher": {"layers": 4, "jumping_knowledge": "max", "norm": "batch"},
        "student": {"features": "raw"},
        "influence": {"hops": 3, "normalization": "none"},
    },
    "glnn": {"method": "glnn", "teacher": {"backend": "dgl", "logits_dtype": "float16"}},
    "degrees": {"influence": {"measure": "degree"}},
    "regression": {"task": "regression"},
}


@pytest.mark.parametrize("case", CASES)
def test_as_from_scratch(case, tmp_path):
    made = Updates(tmp_path, **CASES[case])
    tolerance = 1e-3 if case == "glnn" else 1e-6
    for k in range(6):
        done = made.update(add=k % 4 + 1, remove=k % 3, nodes=k % 2, change=k // 2)
        assert done.inputs + sum(done.logits.values()) + (done.influence or 0) > 0
        made.check(tolerance)


def test_two_hundred_updates(tmp_path, monkeypatch):
    """The dataset is read for the first of them alone."""
    made = Updates(tmp_path, nodes=150)
    made.update()
    monkeypatch.setattr(graph_state, "load_source", None)
    monkeypatch.setattr(redo, "_on_disk", lambda path: None)  # faster
    run = made.run
    for k in range(199):
        add, remove, nodes, change = np.random.randint(0, 3, 4).tolist()
        update(run, made.asked(add, remove, nodes // 2, change))
        if k % 40 == 0:
            made.check()
    made.check()
    journal = [json.loads(line) for line in (made.out / "updates.jsonl").read_text().splitlines()]
    assert [line["update"] for line in journal] == list(range(1, 201))
    nodes = sum(line["nodes"] for line in journal)
    assert made.edges.nodes == 150 + nodes == GraphState.open(made.run.graph).graph.num_nodes
    state = GraphState.open(made.run.graph)
    assert state.graph.end < 4 * state.graph.num_edges


def test_the_journal_says_what_was_asked(tmp_path):
    made = Updates(tmp_path)
    done = made.update(add=3, remove=1, nodes=2, change=4)
    (line,) = map(json.loads, (made.out / "updates.jsonl").read_text().splitlines())
    assert [line[key] for key in ("added", "removed", "nodes", "features")] == [3, 1, 2, 4]
    logits = {str(seed): count for seed, count in done.logits.items()}
    assert line["rows"] == {"inputs": done.inputs, "influence": done.influence, "logits": logits}
    assert 0 < line["seconds"] <= done.seconds


@pytest.mark.parametrize("weighted", [False, True])
def test_a_predictor_sees_the_graph_as_it_is(weighted, tmp_path):
    """As of a graph that has the updates, and the new nodes too; the dataset is not read."""
    made = Updates(tmp_path, weighted=weighted, propagation={"hops": 1})
    for _ in range(3):
        made.update(nodes=1, change=1)
    shutil.rmtree(made.root)
    predictor, known = Predictor.open(made.out), made.edges.nodes
    stored = predictor.stored()
    assert predictor.num_nodes == known
    np.testing.assert_allclose(predictor.changed([5, 3], made.x[[5, 3]]), stored[[5, 3]], rtol=1e-4)
    x = made.features(2)
    edits = made.edges.edits(4, 0, nodes=2)
    joining = (edits.added >= known).any(dim=1)
    for pair, joins in zip(edits.added.tolist(), joining.tolist(), strict=True):
        if not joins:
            del made.edges.weights[min(pair), max(pair)]
    weights = None if edits.weights is None else edits.weights[joining]
    inputs = propagation_of(made.config).of(
        made.edges.csr(), torch.from_numpy(np.concatenate([made.x, x]))
    )
    expected = made.run.student(1)(inputs[known:]).softmax(dim=1).detach()
    for cached in (False, True):  # of one hop they are the same
        found = predictor.new(x, edits.added[joining], weights, cached=cached)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_training_anew_takes_nothing_of_updates(tmp_path):
    """Not even what another process has linked before, and then an update came."""
    made = Updates(tmp_path)
    names = ["propagated.npy", "influence.npy", "seed-1/teacher_logits.npy"]
    before = {name: np.load(made.out / name) for name in names}
    for name in names:
        os.link(made.out / name, tmp_path / name.replace("/", "-"))
    made.update(nodes=1)
    for name in names:
        np.testing.assert_array_equal(np.load(tmp_path / name.replace("/", "-")), before[name])
        assert len(np.load(made.out / name)) == len(before[name]) + 1
    train(made.config, made.out, overwrite=True, report=Reporter(quiet=True))
    for name in names:
        np.testing.assert_array_equal(np.load(made.out / name), before[name])
    assert not made.run.graph.exists() and not (made.out / "updates.jsonl").exists()


def test_a_predictor_from_before_says_so(tmp_path):
    made = Updates(tmp_path)
    predictor = Predictor.open(made.out)
    made.update(nodes=2)
    with pytest.raises(InputError, match="was updated meanwhile; open it again"):
        predictor.new(np.ones((1, D)))


def test_numbers_that_16_bits_have_not(tmp_path):
    made = Updates(tmp_path)
    half = np.load(made.out / "propagated.npy").astype(np.float16)
    np.save(made.out / "propagated.npy", half)
    x = np.random.rand(1, D).astype(np.float32)
    made.edges.edits(0, 0, 1)
    update(made.run, Update(Edits(NO_EDGES, NO_EDGES, nodes=1), x))
    found = np.load(made.out / "propagated.npy")
    np.testing.assert_allclose(found[-1], x[0].astype(np.float16), rtol=1e-3)
    with pytest.raises(InputError, match="propagated.npy is float16, in which some rows overflow"):
        update(made.run, Update(Edits(NO_EDGES, NO_EDGES, nodes=1), np.full((1, D), 1e5)))
    assert len(np.load(made.out / "propagated.npy")) == len(found)


def test_a_teacher_that_nobody_had_is_left_alone(tmp_path):
    made = Updates(tmp_path)
    other = made.config.replace("teacher", hidden=16).model_copy(update={"method": "mlp"})
    train(other, made.out, overwrite=True, report=Reporter(quiet=True))
    assert made.run.teacher_logits(1).exists()
    assert made.update(nodes=1).logits == {}


def test_edges_without_weights_weigh_1_and_say_so(tmp_path, caplog):
    made = Updates(tmp_path, weighted=True)
    edits = Edits(edges(made.edges.others(1)[0]), NO_EDGES)
    update(made.run, Update(edits))
    assert "the added edges have no weights: each weighs 1" in caplog.text
    caplog.clear()
    np.save(tmp_path / "x.npy", np.ones((1, D)))
    np.save(tmp_path / "e.npy", [[240, 3]])
    of_joining(made.run, 1, tmp_path / "x.npy", edges=tmp_path / "e.npy")
    assert "e.npy has no weights: each edge weighs 1" in caplog.text
    caplog.clear()
    (tmp_path / "e.csv").write_text("source,target,weight\n240,3,1.5\n")
    of_joining(made.run, 1, tmp_path / "x.npy", edges=tmp_path / "e.csv")
    assert not caplog.text


# What is refused


@pytest.fixture(scope="module")
def run_of_others(tmp_path_factory):
    """A run that no update changes."""
    return Updates(tmp_path_factory.mktemp("others"))


def edges(*pairs):
    return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (lambda e: Update(Edits(edges(min(e.weights)), NO_EDGES)), "added edges: expected none"),
        (lambda e: Update(Edits(NO_EDGES, edges(e.others(1)[0]))), "removed edges: expected some"),
        (
            lambda e: Update(Edits(edges(e.others(1)[0]), NO_EDGES, torch.tensor([2.0]))),
            "expected no weights: the run's graph has none",
        ),
        (lambda e: Update(Edits(NO_EDGES, NO_EDGES, nodes=2), np.zeros((1, D))), "each of 2 nodes"),
        (
            lambda e: Update(Edits(NO_EDGES, NO_EDGES, nodes=1)),
            "^features of new nodes: expected a row for each of 1 nodes, found 0",
        ),
        (
            lambda e: Update(Edits(NO_EDGES, NO_EDGES), known=239),
            "another update came before; it has 240 nodes",
        ),
        (
            lambda e: Update(Edits(NO_EDGES, NO_EDGES, nodes=1), np.full((1, D), np.nan)),
            "expected finite numbers, found others in row 0",
        ),
        (
            lambda e: Update(Edits(NO_EDGES, NO_EDGES), None, torch.tensor([240]), np.ones((1, D))),
            "changed features: expected ids 0 to 239, found 240",
        ),
        (
            lambda e: Update(Edits(NO_EDGES, NO_EDGES), None, torch.tensor([3]), np.ones((1, 5))),
            r"^changed features: expected \[n, 6\], found \[1, 5\]",
        ),
    ],
)
def test_edits_that_do_not_fit(asked, message, run_of_others):
    before = {p: p.stat().st_mtime_ns for p in run_of_others.out.rglob("*")}
    with pytest.raises(InputError, match=message):
        update(run_of_others.run, asked(run_of_others.edges))
    assert {p: p.stat().st_mtime_ns for p in run_of_others.out.rglob("*")} == before


def test_one_process_at_a_time(run_of_others):
    run, message = run_of_others.run, "--run .*: another process is changing it"
    with redo.alone(run.path, "here"), pytest.raises(InputError, match=message):
        update(run, Update(Edits(NO_EDGES, NO_EDGES)))


@pytest.mark.parametrize("what", ["features", "nodes"])
def test_another_dataset_by_now(what, tmp_path):
    made = Updates(tmp_path)
    if what == "nodes":
        for name in ("features.npy", "labels.npy"):
            values = np.load(made.root / name)
            np.save(made.root / name, np.concatenate([values, values[:1]]))
    else:
        np.save(made.root / "features.npy", made.x[::-1])
    with pytest.raises(InputError, match="its dataset is another by now"):
        made.update()
    assert not list(made.out.glob("graph*"))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"setting": "inductive"}}, "data.setting: inductive"),
        ({"data": {"features": "structural"}}, "data.features: structural"),
        ({"data": {"standardize": True}}, "data.standardize: true"),
        ({"data": {"protocol": "glnn"}}, "data.protocol: glnn"),
        ({"method": "nosmog"}, "method: nosmog"),
        ({"method": "krd"}, "method: krd"),
        ({"train": {"baselines": ["krd"]}}, "method: krd"),
        ({"influence": {"measure": "entropy"}}, "influence.measure: entropy"),
        ({"influence": {"measure": "label-reach"}}, "influence.measure: label-reach"),
    ],
)
def test_runs_that_cannot_be_followed(sections, message):
    data = {"name": "directory", "root": "."} | sections.get("data", {})
    config = Config.model_validate(sections | {"data": data})
    with pytest.raises(InputError, match=f"--run runs/a: {message}: .*; update cannot follow it"):
        graph_state.refuse(Path("runs/a"), config)


def test_a_damaged_state(tmp_path):
    made = Updates(tmp_path)
    made.update()
    state = made.run.graph / "state.json"
    text = state.read_text()
    for damaged in ("{}", text.replace('"drift"', '"drifted"')):
        state.write_text(damaged)
        with pytest.raises(InputError, match=r"state.json: not written by update"):
            made.update()
    state.write_text(text)
    for name in ("starts", "columns", "sums"):
        file = state.with_name(f"{name}.npy")
        values = np.load(file)
        np.save(file, values[: len(values) // 2])
        with pytest.raises(InputError, match="state.json: .* arrays beside it have other lengths"):
            made.update()
        np.save(file, values)
    made.update()
