"""The figures of `data describe`, against NumPy's."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from infgrand_dgl.config.schema import Config
from infgrand_dgl.data import load_dataset, prepared, summary
from infgrand_dgl.data.dataset import NodeDataset, Split, describe
from infgrand_dgl.data.summary import degrees, part_counts, summarize, untrained
from infgrand_dgl.system.arrays import map_array

from ..conftest import random_undirected


@pytest.mark.parametrize(("nodes", "edges"), [(1, 0), (2, 1), (97, 250)])
def test_degrees(nodes, edges):
    graph = random_undirected(nodes, edges)
    rows = torch.repeat_interleave(graph.row_lengths)
    others = rows[rows != graph.indices]
    counts = np.bincount(others.numpy(), minlength=nodes)
    result = degrees(graph)
    assert result.mean == pytest.approx(counts.mean())
    assert result.max == counts.max() and result.isolated == (counts == 0).sum()
    ordered = np.sort(counts)
    for q, value in zip(
        (0.25, 0.5, 0.75, 0.99), (*result.quartiles, result.percent_99), strict=True
    ):
        assert value == ordered[round(q * (nodes - 1))]


def test_nonzero_share(tmp_path):
    """Dense, sparse, of 16 bits and mapped; stored zeros do not count."""
    dataset = load_dataset(config(features=60, classes=3))
    x = torch.rand(400, 60) * (torch.rand(400, 60) < 0.3)
    stored = x.to_sparse_csr()
    x[0] = 0
    stored.values()[: int(stored.crow_indices()[1])] = 0
    np.save(tmp_path / "x.npy", x.numpy())
    for features in (x, stored, x.bfloat16(), map_array(tmp_path / "x.npy")):
        summary = summarize(replace(dataset, features=features))
        assert summary.nonzero == pytest.approx(float((x != 0).double().mean()))
        assert summary.sparse == (features is stored) and summary.dtype == features.dtype


def test_part_counts():
    split = Split(torch.arange(2), torch.arange(3), torch.arange(4))
    assert part_counts(split) == {"train": 2, "val": 3, "test": 4}
    split = replace(split, test_observed=torch.arange(5), observed=torch.arange(6))
    assert list(part_counts(split).items())[3:] == [("test_observed", 5), ("observed", 6)]


def config(**settings) -> Config:
    return Config.model_validate({"data": {"name": "synthetic", "nodes": 400, **settings}})


def test_summary_and_its_lines():
    dataset = load_dataset(config(features=600, classes=3, setting="inductive"))
    s = summarize(dataset)
    assert s.sparse and s.dtype == torch.float32 and s.homophily == dataset.homophily()
    assert s.class_counts == np.bincount(dataset.labels[dataset.labels >= 0]).tolist()
    lines = s.lines()
    d = s.degrees
    quartiles = "{}, {}, {}".format(*d.quartiles)
    assert lines[0] == (
        f"neighbours: mean {d.mean:.2f}, quartiles {quartiles}, 99% {d.percent_99}, "
        f"max {d.max}, isolated {d.isolated}"
    )
    assert lines[1] == f"features: sparse float32, {s.nonzero:.2%} non-zero"
    assert lines[2] == f"edge homophily: {s.homophily:.4f}"
    assert lines[3] == "nodes per class: " + ", ".join(map(str, s.class_counts))
    parts = {part: len(getattr(dataset.parts, part)) for part in s.part_counts}
    assert lines[4] == "split: " + ", ".join(f"{part} {n:,}" for part, n in parts.items())
    assert "observed" in parts and lines[5].startswith("provenance: source generated, ")
    assert len(lines) == 6


def test_of_many_classes_fifty_are_shown():
    dataset = load_dataset(config(features=60, classes=3))
    s = replace(summarize(dataset), class_counts=list(range(51)))
    assert s.lines()[3] == f"nodes per class: {', '.join(map(str, range(50)))}, ..."


def test_prepared(tmp_path):
    settings = {"style": "arxiv", "features": 20, "classes": 4}
    prepared.prepare(config(**settings), tmp_path / "set", dtype="float16")
    source, opened = (
        summarize(load_dataset(config(**settings, **more)))
        for more in ({}, {"prepared": str(tmp_path / "set")})
    )
    assert opened.lines()[1] == f"features: dense float16, {source.nonzero:.2%} non-zero"
    assert opened.lines()[2:5] == source.lines()[2:5] and opened.degrees == source.degrees


NAN = float("nan")
SEVERAL = [[1, 0, NAN], [1, 1, NAN], [0, 1, 1], [NAN, NAN, NAN], [0, 0, 0]]


def of_task(labels, **changes) -> NodeDataset:
    """Five nodes on a path, the first three of which train."""
    split = Split(torch.arange(3), torch.tensor([3]), torch.tensor([4]))
    edges = np.array([[0, 1, 2, 3], [1, 2, 3, 4]])
    made = NodeDataset.from_arrays(edges, torch.eye(5), labels, None, **changes)
    return replace(made, split=split)


def test_several_labels():
    dataset = of_task(SEVERAL)
    lines = summarize(replace(dataset, classes=("a", "b", "c"))).lines()
    # Edges 0-1 (1 of 2 alike), 1-2 (b of a and b); 2-3 and 3-4 have nothing that both know.
    assert dataset.homophily() == 0.5 and lines[2] == "edge homophily: 0.5000"
    known = "of those where it is known: a: 2 of 4, b: 2 of 4, c: 1 of 2"
    assert lines[3] == f"nodes with each label, {known}"
    told = "1 of 3 labels are unknown, or all the same, of the training nodes"
    assert untrained(dataset) == f"{told}, so that no model learns them: 2"
    assert untrained(of_task([[1, 0], [0, 1], [0, 0], [1, 1], [1, 1]])) is None


def test_homophily_of_several_labels_is_of_pairs():
    """In blocks of rows as edge by edge, with sets of Python."""
    n = 40
    labels = np.where(np.random.rand(n, 6) < 0.2, NAN, np.random.rand(n, 6) < 0.4)
    labels[0] = 1
    graph = random_undirected(n, 120)
    dataset = NodeDataset.from_arrays(graph, torch.eye(n), labels)
    found = []
    rows = torch.repeat_interleave(graph.row_lengths)
    for i, j in zip(rows.tolist(), graph.indices.tolist(), strict=True):
        known = {c for c in range(6) if not np.isnan(labels[[i, j], c]).any()}
        a, b = ({c for c in known if labels[node, c] == 1} for node in (i, j))
        if i != j and a | b:
            found.append(len(a & b) / len(a | b))
    for size in (7, 1 << 24):
        assert dataset.homophily(size) == pytest.approx(sum(found) / len(found))


def test_one_label_each_has_the_homophily_of_classes():
    n = 50
    classes, graph = np.random.randint(3, size=n), random_undirected(n, 150)
    several = NodeDataset.from_arrays(graph, torch.eye(n), np.eye(3)[classes], task="multilabel")
    alone = NodeDataset.from_arrays(graph, torch.eye(n), classes)
    assert several.homophily() == pytest.approx(alone.homophily())


@pytest.mark.parametrize("mapped", [False, True])
def test_columns_in_blocks(mapped, monkeypatch, tmp_path):
    """Against NumPy's, of numbers far from 0; a column without a known one has no figures."""
    monkeypatch.setattr(summary, "ROWS", 7)
    values = (np.random.randn(60, 4) * 3 + 1000).astype(np.float32)
    values[np.random.rand(60, 4) < 0.3] = NAN
    values[:, 2], values[0, :2] = NAN, 1000
    np.save(tmp_path / "y.npy", values)
    given = map_array(tmp_path / "y.npy") if mapped else torch.from_numpy(values)
    found = summary._columns(given)
    for c in (0, 1, 3):
        known = values[~np.isnan(values[:, c]), c].astype(np.float64)
        assert found[c].known == len(known) and found[c].min == known.min()
        assert found[c].max == known.max() and found[c].mean == pytest.approx(known.mean())
        assert found[c].std == pytest.approx(known.std())
    assert found[2].known == found[2].positives == 0 and np.isnan(found[2].max)


def test_numbers():
    dataset = of_task([[0.5, 7], [1.5, 7], [NAN, 7], [4, 3], [6, 9]])
    s = summarize(dataset)
    assert s.columns[0].known == 4 and s.columns[0].mean == 3 and s.columns[0].max == 6
    assert s.columns[0].std == pytest.approx(np.std([0.5, 1.5, 4, 6]))
    assert s.lines()[2] == "edge homophily: not defined"
    assert s.lines()[3] == (
        "numbers: 4 known, mean 3, std 2.151, 0.5 to 6; 5 known, mean 6.6, std 1.96, 3 to 9"
    )
    assert (untrained(dataset) or "").startswith("1 of 2 columns of numbers are unknown, or all")
    assert describe(dataset).endswith("5 features, 2 target columns")
    assert np.isnan(dataset.homophily())
