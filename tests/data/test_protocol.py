"""GLNN's protocol: the largest component, 20 and 30 of each class, the rest."""

from dataclasses import replace

import networkx
import numpy as np
import pytest
import scipy.sparse as sp
import torch

from infgrand_dgl import InputError
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.config.schema import Config, DataConfig
from infgrand_dgl.data import load_source, prepared, store, with_split
from infgrand_dgl.data.dataset import NodeDataset
from infgrand_dgl.data.protocol import largest_component, of_each_class
from infgrand_dgl.data.splits import with_observed
from infgrand_dgl.data.structural import structural_features
from infgrand_dgl.data.summary import summarize
from tests import tasks
from tests.conftest import random_undirected

SYNTHETIC = {"name": "synthetic", "nodes": 900, "features": 40, "classes": 3, "degree": 3}


def config(**settings):
    return DataConfig(**{**SYNTHETIC, "protocol": "glnn", **settings})


def pieces(weighted=False, sparse=False):
    """300 nodes: some alone, a large component or two; classes by thirds."""
    csr = random_undirected(300, 220, weighted=weighted)
    x = np.random.rand(300, 30).astype(np.float32)
    x[np.random.rand(300, 30) < 0.95] = 0
    return NodeDataset.from_arrays(csr, sp.csr_matrix(x) if sparse else x, np.arange(300) % 3)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_largest_component_is_networkx(weighted, sparse, monkeypatch):
    monkeypatch.setattr("infgrand_dgl.data.protocol.TRAIN", -30)  # of however few
    whole = pieces(weighted, sparse)
    rows = torch.repeat_interleave(whole.csr.row_lengths)
    graph = networkx.Graph(list(zip(rows.tolist(), whole.csr.indices.tolist(), strict=True)))
    components = [sorted(component) for component in networkx.connected_components(graph)]
    nodes = max(components, key=lambda component: (len(component), -component[0]))
    part = largest_component(whole)
    assert part.ids is not None and part.ids.tolist() == nodes
    assert part.matrix.is_sparse == whole.matrix.is_sparse == sparse
    kept = torch.tensor(nodes)
    assert torch.equal(part.dense_features(), whole.dense_features()[kept])
    assert torch.equal(part.labels, whole.labels[kept])
    ids = torch.from_numpy(part.ids)
    found = ids[torch.repeat_interleave(part.csr.row_lengths)], ids[part.csr.indices]
    inside = torch.isin(rows, kept)
    assert torch.equal(found[0], rows[inside])
    assert torch.equal(found[1], whole.csr.indices[inside].long())
    if weighted:
        assert part.csr.weights is not None and whole.csr.weights is not None
        assert torch.equal(part.csr.weights, whole.csr.weights[inside])


def test_features_of_the_graph_are_the_components(monkeypatch):
    monkeypatch.setattr("infgrand_dgl.data.protocol.TRAIN", -30)
    part = largest_component(pieces().with_features_of(structural_features))
    assert torch.equal(part.features, structural_features(part.csr))


def test_of_each_class():
    labels = torch.randint(4, (700,))
    labels[torch.randperm(700)[:60]] = -1
    one, other = of_each_class(labels, 5), of_each_class(labels, 6)
    for split in (one, other):
        for part, count in ((split.train, 20), (split.val, 30)):
            assert labels[part].bincount().tolist() == [count] * 4
            assert torch.equal(part, part.unique())
        everyone = torch.cat([split.train, split.val, split.test]).sort().values
        assert torch.equal(everyone, (labels >= 0).nonzero().flatten())
    assert not torch.equal(one.train, other.train)
    again = of_each_class(labels, 5)
    assert all(torch.equal(getattr(one, p), getattr(again, p)) for p in ("train", "val", "test"))


def test_a_run_draws_it_whatever_split_there_is():
    source = load_source(config())
    assert source.split is None and source.ids is not None
    assert len(source.ids) == source.num_nodes < 900
    whole = load_source(config(protocol="published"))
    assert torch.equal(source.labels, whole.labels[source.ids])
    d = with_split(source, config(setting="inductive"), 3)
    expected = of_each_class(source.labels, 3)
    assert torch.equal(d.train, expected.train) and torch.equal(d.val, expected.val)
    assert len(d.test) == int(0.2 * len(expected.test))
    assert torch.equal(torch.cat([d.test, d.parts.test_observed]).sort().values, expected.test)
    assert d.parts.observed is not None
    assert len(d.parts.observed) + len(d.test) == d.num_nodes
    hidden = with_observed(source, config(setting="inductive"), 3).test
    assert torch.equal(hidden, d.test) and d.observed_view().ids is None


def test_it_is_told():
    source = load_source(config())
    lines = "\n".join(summarize(with_split(source, config(), 1)).lines())
    assert f"component {source.num_nodes} of 900 nodes" in lines
    assert "split 20 and 30 per class, the rest (glnn)" in lines
    assert "train 60, val 90" in lines


def test_what_has_no_such_split(tmp_path):
    few = NodeDataset.from_arrays(random_undirected(90, 900), torch.rand(90, 3), np.arange(90) % 2)
    told = "data.protocol: glnn needs 51 nodes of each class or more, found .. of class . among the"
    with pytest.raises(InputError, match=told):
        largest_component(few)
    gone = replace(few, labels=torch.zeros(90, dtype=torch.long))
    with pytest.raises(InputError, match=r"found 0 of class 1 among the \d\d of the largest"):
        largest_component(gone)
    folder, path = tasks.write(tmp_path / "set", "multilabel"), tmp_path / "config.yaml"
    path.write_text("data: {name: directory}\n")
    with pytest.raises(InputError, match="draws nodes of each class, but set has labels of multil"):
        load_source(load_config(path, [*tasks.settings(folder), "data.protocol=glnn"]).data)
    path.write_text("data: {name: ogbn-arxiv, protocol: glnn}\n")
    with pytest.raises(InputError, match="glnn: ogbn-arxiv has an official split, GLNN's too: p"):
        load_config(path)
    path.write_text("data: {name: cora, protocol: glnn, split: 0}\n")
    with pytest.raises(InputError, match="split: only of protocol: published; glnn's is drawn by"):
        load_config(path)


def test_a_folder_without_splits_or_labels(tmp_path):
    """The first are drawn; without the others nothing is trained, as by the other protocol."""
    folder = tmp_path / "set"
    folder.mkdir()
    np.save(folder / "edges.npy", np.random.randint(0, 400, (2000, 2)))
    np.save(folder / "features.npy", np.random.rand(400, 3).astype(np.float32))
    data = DataConfig(name="directory", root=str(folder), protocol="glnn")
    bare = load_source(data)
    with pytest.raises(InputError, match="labels"):
        with_split(bare, data, 1)
    assert with_observed(bare, data, 1).parts.observed is None
    np.save(folder / "labels.npy", np.arange(400) % 4)
    d = with_split(load_source(data), data, 1)
    assert d.lacks is None and len(d.train) == 80 and len(d.val) == 120


def test_prepared(tmp_path):
    given = Config(data=config())
    prepared.prepare(given, tmp_path / "set")
    store.verify(tmp_path / "set")
    source = load_source(given.data)
    d = load_source(config(prepared=str(tmp_path / "set")))
    assert d.ids is not None and source.ids is not None
    assert d.ids.tolist() == source.ids.tolist() and d.split is None
    assert torch.equal(with_split(d, given.data, 4).train, with_split(source, given.data, 4).train)
    with pytest.raises(InputError, match='prepared with "glnn", found "published"'):
        load_source(config(protocol="published", prepared=str(tmp_path / "set")))
    prepared.prepare(Config(data=config(protocol="published")), tmp_path / "whole")
    with pytest.raises(InputError, match='prepared with "published", found "glnn"'):
        load_source(config(prepared=str(tmp_path / "whole")))


def test_fingerprints_differ():
    """Also where the graph is connected, and only the draw is another."""
    assert config().of_splits() != config(protocol="published").of_splits()
    assert "protocol" not in config(protocol="published").of_splits()


@pytest.mark.parametrize(("name", "nodes"), [("cora", 2485), ("citeseer", 2120)])
def test_real_graphs(name, nodes, real_data):
    """CPF's Cora has as many; its Citeseer 2110, as Planetoid's has nodes that it leaves out."""
    source = load_source(DataConfig(name=name, root=str(real_data), protocol="glnn"))
    assert source.num_nodes == nodes
