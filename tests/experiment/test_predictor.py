"""A run's student asked about stored, changed and new nodes, against graphs that have them."""

import os
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import yaml

from infgrand_dgl import InputError
from infgrand_dgl.cli import main
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.config.schema import Config
from infgrand_dgl.data import load_source, with_split
from infgrand_dgl.experiment.predictor import HOPS, Predictor
from infgrand_dgl.experiment.train import train
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.serving import load_student
from infgrand_dgl.training.calibration import temperature
from tests.tasks import write

N, NEW, D = 240, 6, 6


class Grown:
    """A folder with a graph, another with the same and newcomers, and a run on the first."""

    def __init__(self, tmp_path, task="classification", weighted=False, counts=False, **sections):
        self.small, self.large = write(tmp_path / "small", task, N), tmp_path / "large"
        x = np.load(self.small / "features.npy")
        if counts:  # a bag of words, whose rows are made to sum to 1
            x = np.random.randint(0, 3, x.shape).astype(np.float32)
            x[:, 0] += 1
            np.save(self.small / "features.npy", x)
        self.features = x[np.random.randint(N, size=NEW)] + (0 if counts else 0.1)
        one = np.random.randint(N, N + NEW - 1, size=20)
        other = np.random.randint(N + NEW - 1, size=20)
        self.edges = np.stack([one, other], axis=1)  # the last has none
        self.edges[0] = N, N + 1
        self.weights = np.random.rand(20).astype(np.float32) + 0.1 if weighted else None
        self.write_large(x, weighted)
        self.out = tmp_path / "run"
        self.config = Config.model_validate(self.sections(self.small, sections))
        train(self.config, self.out, report=Reporter(quiet=True))
        self.large_config = tmp_path / "large.yaml"
        self.large_config.write_text(yaml.safe_dump(self.sections(self.large, sections)))

    def write_large(self, x, weighted):
        self.large.mkdir()
        edges = np.load(self.small / "edges.npy")
        np.save(self.large / "edges.npy", np.concatenate([edges, self.edges]))
        np.save(self.large / "features.npy", np.concatenate([x, self.features]))
        if weighted:
            weights = np.random.rand(len(edges)).astype(np.float32) + 0.1
            np.save(self.small / "weights.npy", weights)
            np.save(self.large / "weights.npy", np.concatenate([weights, self.weights]))

    @staticmethod
    def sections(root, changes):
        made = {
            "data": {"name": "directory", "root": str(root)},
            "teacher": {"hidden": 8},
            "student": {"hidden": 8, "weight_decay": 0.0},
            "train": {"epochs": 5, "seeds": [1], "device": "cpu"},
        }
        return made | {name: made.get(name, {}) | given for name, given in changes.items()}

    def expected(self, tmp_path) -> np.ndarray:
        """Of all nodes of the grown graph: `propagate` and `predict`."""
        x, out = tmp_path / "x.npy", tmp_path / "p.npy"
        assert main(["propagate", "--config", str(self.large_config), "--out", str(x)]) == 0
        options = ["--run", str(self.out), "--propagated", str(x), "--probabilities"]
        if "regression" in str(self.config.data.task):
            options.pop()
        assert main(["predict", *options, "--out", str(out)]) == 0
        return np.load(out)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    return Predictor.open(Grown(tmp_path_factory.mktemp("grown")).out)


CASES: dict[str, Any] = {
    "plain": {},
    "weighted": {"weighted": True},
    "normalised": {"counts": True, "data": {"row_normalize": True}},
    "sign": {"student": {"model": "sign"}, "propagation": {"hops": 3}},
    "max": {"propagation": {"pooling": "max", "hops": 3, "self_loop_weight": 2.0}},
}


@pytest.mark.parametrize("case", CASES)
def test_new_nodes_are_as_in_the_grown_graph(case, tmp_path):
    grown = Grown(tmp_path, **CASES[case])
    predictor = Predictor.open(grown.out)
    expected = grown.expected(tmp_path)[N:]
    found = predictor.new(grown.features, grown.edges, grown.weights)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    tensors = torch.from_numpy(grown.features), torch.from_numpy(grown.edges)
    again = predictor.new(*tensors, grown.weights)
    np.testing.assert_array_equal(again, found)
    np.testing.assert_allclose(predictor.stored(), said(grown), rtol=1e-6, atol=1e-7)


def said(grown):
    student = load_student(grown.out / "seed-1/student.safetensors")
    x = torch.from_numpy(np.load(grown.out / "propagated.npy"))
    return student(x).softmax(dim=1).detach().numpy()


def test_calibrated(tmp_path):
    """All answers at the temperature of the validation nodes' logits."""
    grown = Grown(tmp_path)
    predictor = Predictor.open(grown.out, calibrated=True)
    data = with_split(load_source(grown.config.data), grown.config.data, 1)
    student = load_student(grown.out / "seed-1/student.safetensors")
    logits = student(torch.from_numpy(np.load(grown.out / "propagated.npy"))).detach()
    T = temperature(logits[data.val], data.labels[data.val])
    expected = (logits / T).softmax(dim=1)
    np.testing.assert_allclose(predictor.stored(), expected, rtol=1e-4, atol=1e-6)
    plain = Predictor.open(grown.out).new(grown.features, grown.edges)
    found = predictor.new(grown.features, grown.edges)
    powers = plain ** (1 / T)
    np.testing.assert_allclose(
        found, powers / powers.sum(axis=1, keepdims=True), rtol=1e-3, atol=1e-5
    )


def test_stored_nodes(tmp_path):
    grown = Grown(tmp_path)
    predictor = Predictor.open(str(grown.out))
    assert (predictor.num_nodes, predictor.seed, predictor.task) == (N, 1, "classification")
    some, everyone = predictor.stored([5, 5, 0]), predictor.stored()
    np.testing.assert_allclose(some, everyone[[5, 5, 0]], rtol=1e-6, atol=1e-7)
    with pytest.raises(InputError, match="nodes: expected ids 0 to 239, found 240"):
        predictor.stored([240])
    np.save(grown.small / "features.npy", np.zeros((3, 3)))  # which no graph is needed for
    assert Predictor.open(grown.out).stored([1]).shape == (1, 3)


def test_raw_features_need_no_neighbours(tmp_path):
    grown = Grown(tmp_path, student={"features": "raw"})
    predictor = Predictor.open(grown.out)
    alone = predictor.new(grown.features)
    np.testing.assert_array_equal(predictor.new(grown.features, grown.edges), alone)
    x = np.load(grown.small / "features.npy")
    np.testing.assert_allclose(predictor.new(x), predictor.stored(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("hops", [0, 1, 3])
def test_cached(hops, tmp_path):
    """Of one hop what exact is, of more near it; the rows are stored once."""
    grown = Grown(tmp_path, propagation={"hops": hops})
    predictor = Predictor.open(grown.out)
    exact = predictor.new(grown.features, grown.edges)
    found = predictor.new(grown.features, grown.edges, cached=True)
    if hops < 2:
        np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5)
    else:
        assert 0 < np.abs(found - exact).max() < 0.2
    path = grown.out / HOPS
    if not hops:
        assert not path.exists()
        return
    assert np.load(path).shape == (N, hops * D)
    before = path.stat().st_mtime_ns
    again = Predictor.open(grown.out).new(grown.features, grown.edges, cached=True)
    np.testing.assert_array_equal(again, found)
    assert path.stat().st_mtime_ns == before


def test_stored_rows_are_of_all_seeds(tmp_path):
    """Of the whole graph, whoever a seed has hidden."""
    train_section = {"seeds": [1, 2], "epochs": 2}
    grown = Grown(tmp_path, data={"setting": "inductive"}, train=train_section)
    times = set()
    for seed in (1, 2, 1):
        Predictor.open(grown.out, seed).new(grown.features, grown.edges, cached=True)
        times.add((grown.out / HOPS).stat().st_mtime_ns)
    assert len(times) == 1


def test_stored_rows_of_another_graph_or_damaged_are_made_anew(tmp_path):
    grown = Grown(tmp_path)

    def cached():
        return Predictor.open(grown.out).new(grown.features, grown.edges, cached=True)

    first = cached()
    path = grown.out / HOPS
    path.write_bytes(path.read_bytes()[:-8])
    np.testing.assert_array_equal(cached(), first)
    x = np.load(grown.small / "features.npy")
    np.save(grown.small / "features.npy", x[::-1])
    assert np.abs(cached() - first).max() > 1e-4
    np.save(grown.small / "features.npy", x)
    np.testing.assert_array_equal(cached(), first)
    grown.out.chmod(0o500)
    if not os.access(grown.out, os.W_OK):  # root writes everywhere
        path.unlink(missing_ok=True)
        with pytest.raises(InputError, match="--cached .*hops.npy: cannot be written"):
            cached()
    grown.out.chmod(0o700)


@pytest.mark.parametrize("case", ["bags of words", "signed rows"])
def test_features_are_made_as_the_dataset_makes_its_own(case, tmp_path, tiny):
    """Known nodes with the features that they have are as they are stored."""
    if case == "bags of words":  # sparse, whose columns are divided alone
        options = ["data.features=500", "data.standardize=true"]
        config = load_config(str(tiny), options)
        plain = load_source(load_config(str(tiny), options[:1]).data)
        assert plain.matrix.is_sparse
        x = plain.features.to_dense().numpy()
    else:  # of which some sum to 0
        grown = Grown(tmp_path, data={"row_normalize": True}, student={"features": "raw"})
        x = np.load(grown.small / "features.npy")
        x[7] = [1, -1, 2, -2, 0, 0]
        np.save(grown.small / "features.npy", x)
        config = grown.config
    train(config, tmp_path / "same", report=Reporter(quiet=True))
    predictor = Predictor.open(tmp_path / "same")
    nodes = np.arange(0, predictor.num_nodes, 7)
    found = predictor.changed(nodes, x[nodes])
    np.testing.assert_allclose(found, predictor.stored(nodes), rtol=1e-4, atol=1e-5)


def test_kinds_of_arrays(tmp_path):
    """Lists, tensors, sparse and read-only arrays, integers of all types; what is none is told."""
    grown = Grown(tmp_path, weighted=True)
    predictor = Predictor.open(grown.out)
    x, edges, weights = grown.features, grown.edges, np.arange(20.0) % 3 + 1
    expected = predictor.new(x, edges, weights)
    frozen = x.copy()
    frozen.flags.writeable = False
    tensor = torch.from_numpy(x)
    for other in (
        x.tolist(),
        tensor,
        tensor.to_sparse(),
        sp.csr_matrix(x),
        sp.coo_array(x),
        frozen,
    ):
        np.testing.assert_allclose(predictor.new(other, edges, weights), expected, rtol=1e-5)
    for dtype in (np.int32, np.uint16, ">i8"):
        found = predictor.new(x, edges.astype(dtype), weights.astype(dtype))
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    heavy = torch.from_numpy(weights).bfloat16().requires_grad_()
    np.testing.assert_allclose(predictor.new(x, edges.tolist(), heavy), expected, rtol=1e-5)
    for arguments, message in (
        ((x, [[N, 1], [N]]), r"edges: expected integers \[m, 2\], found object \[2\]"),
        (([[1.0] * D, [1.0]], edges), "features: expected numbers"),
        ((x, edges, ["a"] * 20), "weights: expected numbers"),
        ((x, edges, [1.0]), "weights: expected one weight for each of the 20 edges"),
        ((x, edges, [[1.0], [1.0, 2.0]]), "weights: expected"),
    ):
        with pytest.raises(InputError, match=message):
            predictor.new(*arguments)
    with pytest.raises(InputError, match=r"nodes: expected integers \[n\], found object \[2\]"):
        predictor.stored([[1], [1, 2]])


def test_cold_nodes_have_themselves(tmp_path):
    grown = Grown(tmp_path)
    predictor = Predictor.open(grown.out)
    student = load_student(grown.out / "seed-1/student.safetensors")
    expected = student(torch.from_numpy(grown.features)).softmax(dim=1).detach()
    for cached in (False, True):
        np.testing.assert_allclose(
            predictor.new(grown.features, cached=cached), expected, rtol=1e-5, atol=1e-6
        )
        assert predictor.new(grown.features[:0].reshape(0, D), cached=cached).shape == (0, 3)


def test_changed_nodes(tmp_path):
    """As of a folder with the other features; together they change each other."""
    grown = Grown(tmp_path)
    predictor = Predictor.open(grown.out)
    edges = np.load(grown.small / "edges.npy")
    nodes = np.array([edges[0, 1], 7, edges[0, 0], 100])
    nodes = nodes[np.sort(np.unique(nodes, return_index=True)[1])]
    values = np.random.randn(len(nodes), D).astype(np.float32)
    x = np.load(grown.small / "features.npy")
    x[nodes] = values
    np.save(grown.large / "edges.npy", edges)
    np.save(grown.large / "features.npy", x)
    expected = grown.expected(tmp_path)[nodes]
    found = predictor.changed(nodes, values)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert predictor.changed([], np.empty((0, D))).shape == (0, expected.shape[1])


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
def test_standardized_by_what_training_saw(setting, tmp_path):
    grown = Grown(tmp_path, data={"standardize": True, "setting": setting})
    predictor = Predictor.open(grown.out)
    x = np.load(grown.small / "features.npy").astype(np.float64)
    if setting == "inductive":
        observed = predictor.graph.dataset.parts.observed
        assert observed is not None and len(observed) < N
        seen = x[observed.numpy()]
    else:
        seen = x
    scaled = (grown.features - seen.mean(axis=0)) / seen.std(axis=0)
    student = load_student(grown.out / "seed-1/student.safetensors")
    expected = student(torch.from_numpy(scaled).float()).softmax(dim=1).detach()
    np.testing.assert_allclose(predictor.new(grown.features), expected, rtol=1e-4, atol=1e-5)
    predictor.new(grown.features, grown.edges, cached=True)
    assert (grown.out / "seed-1" / HOPS).exists() == (setting == "inductive")


def test_generated_features_are_normalised(tmp_path, tiny_config):
    """Bags of words, which the source itself makes sum to 1; scaled ones are the same nodes."""
    train(tiny_config, tmp_path / "run", report=Reporter(quiet=True))
    predictor = Predictor.open(tmp_path / "run")
    words = (np.random.rand(4, 60) < 0.2).astype(np.float32)
    edges = [[300, 1], [301, 300]]
    np.testing.assert_allclose(
        predictor.new(words, edges), predictor.new(3 * words, edges), rtol=1e-5, atol=1e-6
    )


def test_positions_are_the_neighbours_mean(tmp_path):
    nosmog = {"dimension": 4, "walk_length": 5, "walks": 1}
    grown = Grown(tmp_path, data={"setting": "inductive"}, nosmog=nosmog)
    config = grown.config.replace(method="nosmog")
    train(config, tmp_path / "placed", report=Reporter(quiet=True))
    predictor = Predictor.open(tmp_path / "placed")
    inputs = np.load(tmp_path / "placed/seed-1/propagated.npy")
    split = predictor.graph.dataset.parts
    assert split.observed is not None
    observed = split.observed.numpy()
    hidden = int(np.setdiff1d(np.arange(N), observed)[0])
    one, two = (int(n) for n in observed[:2])
    edges = [[N, one], [N, two], [N, hidden], [N + 1, hidden]]
    x = grown.features[:3]
    places = np.zeros((3, 4), np.float32)
    places[0] = inputs[[one, two], -4:].mean(axis=0)
    student = load_student(tmp_path / "placed/seed-1/student.safetensors")
    read = np.concatenate([x, places], axis=1)  # NOSMOG's own inputs are raw
    expected = student(torch.from_numpy(read)).softmax(dim=1).detach()
    np.testing.assert_allclose(predictor.new(x, edges), expected, rtol=1e-5, atol=1e-6)

    nodes = np.array([hidden, one], dtype=np.uint16)  # a changed node keeps its own
    kept = torch.from_numpy(np.concatenate([x[:2], inputs[nodes, -4:]], axis=1))
    expected = student(kept).softmax(dim=1).detach()
    np.testing.assert_allclose(predictor.changed(nodes, x[:2]), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_other_tasks(task, tmp_path):
    grown = Grown(tmp_path, task, data={"task": task})
    predictor = Predictor.open(grown.out)
    found = predictor.new(grown.features, grown.edges)
    np.testing.assert_allclose(found, grown.expected(tmp_path)[N:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("features", "edges", "message"),
    [
        (np.zeros((2, 5)), None, r"features: expected \[n, 6\], found \[2, 5\]"),
        (np.full((2, 6), np.nan), None, "features: expected finite numbers, found .* row 0"),
        (np.array([["a"] * 6]), None, "features: expected numbers"),
        (np.zeros((2, 6)), [[240.0, 1]], r"edges: expected integers \[m, 2\], found float64"),
        (np.zeros((2, 6)), [240, 1], r"edges: expected integers \[m, 2\], found int64 \[2\]"),
        (np.zeros((2, 6)), [[3, 1]], r"edges: expected a new node in each, 240 or above"),
        (np.zeros((2, 6)), [[242, 1]], "edges: expected ids 0 to 239 of known nodes, 240 to 241"),
    ],
)
def test_errors(features, edges, message, predictor):
    with pytest.raises(InputError, match=message):
        predictor.new(features, edges)


def test_errors_of_changed_nodes(predictor):
    x = np.zeros((2, D))
    for nodes, message in (
        ([1, 1], "nodes: expected each once, found 1 twice"),
        ([1], "features: expected a row for each of 1 nodes, found 2"),
        ([1, 240], "nodes: expected ids 0 to 239, found 240"),
    ):
        with pytest.raises(InputError, match=message):
            predictor.changed(nodes, x)


def test_another_dataset_by_now(tmp_path):
    grown = Grown(tmp_path)
    for name in ("edges.npy", "features.npy"):
        (grown.small / name).write_bytes((grown.large / name).read_bytes())
    labels = np.load(grown.small / "labels.npy")
    np.save(grown.small / "labels.npy", np.concatenate([labels, labels[:NEW]]))
    with pytest.raises(InputError, match="another by now: expected 240 nodes .* found 246"):
        Predictor.open(grown.out).new(grown.features)


def test_structural_features_are_refused(tmp_path, tiny):
    config = load_config(str(tiny), ["data.features=structural"])
    train(config, tmp_path / "run", report=Reporter(quiet=True))
    predictor = Predictor.open(tmp_path / "run")
    with pytest.raises(InputError, match="structural: are made of the whole graph"):
        predictor.new(np.zeros((1, 5)))
