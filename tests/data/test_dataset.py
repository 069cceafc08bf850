"""The inductive rule: observed nodes see the observed graph alone, the others all of it."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from infgrand_dgl.data.dataset import NodeDataset, Split, check
from infgrand_dgl.errors import InputError
from infgrand_dgl.graph.csr import CSRGraph
from tests.conftest import random_undirected

HIDDEN = torch.tensor([1, 4, 10, 11])
OBSERVED = torch.tensor([i for i in range(30) if i not in HIDDEN])


def dataset(inductive: bool = True, **changes) -> NodeDataset:
    csr, x = random_undirected(30, 90), torch.randn(30, 5)
    seen = OBSERVED.split(9) if inductive else torch.arange(30).split(10)
    split = Split(*seen)
    if inductive:
        split = Split(seen[0], seen[1], HIDDEN, seen[2], OBSERVED)
    made = NodeDataset("random", csr, x, torch.zeros(30).long(), 2, split, {})
    return replace(made, **changes)


def degrees(data: NodeDataset) -> torch.Tensor:
    return data.csr.row_lengths.double()


def test_a_transductive_run_has_one_view():
    data = dataset(inductive=False)
    assert data.views() == [(data, None)] and data.observed_view() is data
    assert torch.equal(data.by_view(degrees), degrees(data))
    scores = torch.randn(30)
    assert data.scattered(scores) is scores


def test_each_node_gets_what_it_sees():
    data = dataset()
    (whole, everyone), (view, observed) = data.views()
    assert whole is data and everyone is None
    assert view is data.observed_view() and observed is data.parts.observed
    values = data.by_view(degrees)
    assert torch.equal(values[HIDDEN], degrees(data)[HIDDEN])
    assert torch.equal(values[OBSERVED], degrees(view))
    assert not torch.equal(values, degrees(data))  # some observed node has a hidden neighbour


def test_results_keep_the_dtype_of_the_first():
    data = dataset()
    values = data.by_view(lambda view: view.features.half() if view is data else view.features)
    assert values.dtype == torch.float16 and torch.equal(values, data.features.half())


def test_scattered_scores_are_nan_where_nobody_may_look():
    scores = torch.randn(26)
    values = dataset().scattered(scores)
    assert values.shape == (30,) and values.dtype == scores.dtype
    assert torch.equal(values[OBSERVED], scores) and values[HIDDEN].isnan().all()


@pytest.mark.parametrize("kind", ["float32", "float16", "sparse"])
def test_the_observed_view_holds_dense_float32_features(kind):
    data = dataset()
    x = data.features.half().float()
    kinds = {"float32": x, "float16": x.half(), "sparse": x.to_sparse_csr()}
    view = replace(data, features=kinds[kind]).observed_view()
    assert view.features.dtype == torch.float32 and torch.equal(view.features, x[OBSERVED])


def test_the_fingerprint_is_of_arrays_and_split():
    data = dataset()
    same = replace(data, features=data.features.clone(), name="other", provenance={"a": 1})
    assert same.fingerprint == data.fingerprint and len(data.fingerprint) == 32
    for other in (
        replace(data, features=data.features + 1),
        replace(data, features=data.features.to_sparse_csr()),
        replace(data, labels=data.labels + 1),
        replace(data, split=replace(data.parts, train=data.parts.train.flip(0))),
        replace(data, content="of files"),
    ):
        assert other.fingerprint != data.fingerprint


@pytest.mark.parametrize("sparse", [True, False])
def test_features_are_checked(sparse):
    data = dataset()
    x = data.features.clone()
    x[17, 2] = torch.inf
    message = "rows of finite numbers" if sparse else "NaN or infinity in row 17"
    with pytest.raises(InputError, match=f"somewhere: features: .*{message}"):
        check(replace(data, features=x.to_sparse_csr() if sparse else x), "somewhere")


def from_arrays_inputs(n: int = 12):
    edges = np.random.randint(0, n, size=(2, 30))
    x = np.random.rand(n, 4) * (np.random.rand(n, 4) < 0.5)
    x[0] = 1.0
    labels = np.append(np.arange(n - 1) % 3, -1)
    return edges, x, labels


@pytest.mark.parametrize("kind", [torch.from_numpy, np.asarray, sp.csr_matrix, sp.coo_array])
def test_from_arrays(kind):
    edges, x, labels = from_arrays_inputs()
    split = Split(torch.arange(3), torch.arange(3, 6), torch.arange(6, 11))
    dataset = NodeDataset.from_arrays(edges, kind(x), labels, split)
    torch.testing.assert_close(dataset.dense_features(), torch.from_numpy(x).float())
    expected = CSRGraph.from_edges(edges[0], edges[1], 12)
    assert torch.equal(dataset.csr.indptr, expected.indptr)
    assert torch.equal(dataset.csr.indices, expected.indices)
    assert dataset.num_classes == 3 and dataset.labels.tolist() == labels.tolist()
    assert dataset.parts is split
    parts = {"train": range(3), "val": np.arange(3, 6), "test": torch.arange(6, 11)}
    again = NodeDataset.from_arrays(edges, kind(x), labels, parts)
    assert again.fingerprint == dataset.fingerprint and again.parts.test.tolist() == [*range(6, 11)]
    assert NodeDataset.from_arrays(expected, kind(x), list(labels)).split is None


@pytest.mark.parametrize("kind", [np.asarray, list, torch.as_tensor])
def test_from_arrays_codes_and_several_splits(kind):
    """Codes, and where it is not torch, names."""
    edges, x, labels = from_arrays_inputs()
    splits = [Split(torch.arange(3) + k, torch.arange(3, 6) + k, torch.tensor([8])) for k in (0, 2)]
    every = [np.array([111, 5411, 9999, -1]), np.array(["a", "b", "c", None], object)]
    for codes in every[: 1 if kind is torch.as_tensor else 2]:
        dataset = NodeDataset.from_arrays(edges, x, kind(codes[labels]), splits)
        assert dataset.classes == tuple(codes[:3]) and dataset.num_classes == 3
        assert dataset.labels.tolist() == labels.tolist()
        assert dataset.split is None and dataset.splits == tuple(splits)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"labels": np.full(12, 0.5), "task": "classification"},
            "labels: expected whole numbers .* found 0.5 at node 0",
        ),
        ({"task": "class"}, "task: expected auto, classification, .* found 'class'"),
        ({"task": None}, "task: expected auto, classification, .* found None"),
        ({"labels": [[1], [1, 2]]}, "labels: expected labels .*, found rows of several lengths"),
        ({"labels": np.ones((11, 2))}, r"labels: expected shape \[12, C\], found \[11, 2\]"),
        ({"labels": np.eye(4)[np.arange(12) % 4]}, "labels: .*of one-hot rows argmax"),
        ({"labels": np.zeros(11, int)}, r"labels: expected shape \[12\], found \[11\]"),
        ({"features": np.zeros(12)}, r"features: expected numbers \[N, D\].*found float64 \[12\]"),
        ({"features": np.full((12, 1), 1e300)}, "within float32"),
        ({"features": np.full((12, 1), np.nan)}, "features: expected finite numbers"),
        ({"graph": sp.eye(5)}, r"features: expected shape \[5, D\], found \[12, 4\]"),
        ({"graph": "edges"}, "graph: expected a DGLGraph.*found str"),
        ({"split": {"train": [0], "val": [1], "valid": [2]}}, "arrays: split: expected a Split"),
        ({"split": {"train": [0], "val": [0], "test": [2]}}, "node 0 is in the splits twice"),
        ({"split": Split(*torch.arange(12).split([6, 5, 1]))}, "split test: node 11 has no label"),
    ],
)
def test_from_arrays_refuses(change, told):
    edges, x, labels = from_arrays_inputs()
    with pytest.raises(InputError, match=told):
        NodeDataset.from_arrays(**{"graph": edges, "features": x, "labels": labels, **change})
