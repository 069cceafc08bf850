"""The figures of `data describe`, against NumPy's."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from infgrand_dgl.config.schema import Config
from infgrand_dgl.data import load_dataset, prepared
from infgrand_dgl.data.dataset import Split
from infgrand_dgl.data.summary import degrees, part_counts, summarize
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
