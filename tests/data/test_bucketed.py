"""Graphs by way of the disk."""

import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.data import bucketed, load_source, synthetic
from infgrand_dgl.data.prepared import prepare
from infgrand_dgl.data.store import verify
from tests.data.generated import config, opened


def statistics(d):
    lengths = (d.csr.row_lengths - 1).double()
    return {
        "degree": float(lengths.mean()),
        "spread": float(lengths.log1p().std()),
        "homophily": d.homophily(),
        "classes": float((d.labels < d.num_classes // 4).double().mean()),
        "norm": float(d.dense_features().norm(dim=1).mean()),
    }


def test_drawn_by_way_of_the_disk(tmp_path, monkeypatch):
    """The same model in parts: simple and undirected, with the statistics of the whole."""
    settings = {"style": "arxiv", "nodes": 60_000, "features": 16, "degree": 29.1}
    inside = statistics(load_source(config(**settings).data))
    monkeypatch.setattr(synthetic, "IN_MEMORY_EDGES", 0)
    monkeypatch.setattr(bucketed, "CHUNK_EDGES", 50_000)
    monkeypatch.setattr(bucketed, "BUCKET_ENTRIES", 200_000)
    with pytest.raises(InputError, match="too many to draw in memory; .*data prepare"):
        load_source(config(**settings).data)
    prepare(config(**settings), tmp_path / "set")
    assert not (tmp_path / "set/buckets").exists()
    verify(tmp_path / "set")
    d = opened(tmp_path / "set", **settings)
    assert statistics(d) == pytest.approx(inside, rel=0.02)
    assert float((d.csr.row_lengths - 1).double().mean()) == pytest.approx(29.1, rel=3e-3)

    rows = torch.repeat_interleave(d.csr.row_lengths)
    keys = rows * d.num_nodes + d.csr.indices
    assert (keys.diff() > 0).all()
    mirrored = d.csr.indices.long() * d.num_nodes + rows
    assert torch.equal(mirrored.sort().values, keys)
    assert int((rows == d.csr.indices).sum()) == d.num_nodes
