import numpy as np
import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.config.schema import DataConfig
from infgrand_dgl.data import load_source
from infgrand_dgl.data.block_model import BlockModel
from infgrand_dgl.data.synthetic import RECIPES, block_model, recipe


def generate(**settings):
    return load_source(DataConfig(name="synthetic", **settings))


@pytest.mark.parametrize("style", RECIPES)
def test_is_what_was_asked_for(style):
    d = generate(style=style, nodes=6000, degree=12, features=50, classes=5, homophily=0.6)
    neighbours = d.csr.row_lengths - 1
    assert (d.num_nodes, d.num_features, d.num_classes) == (6000, 50, 5)
    assert float(neighbours.double().mean()) == pytest.approx(12, rel=2e-3)
    if style != "papers100M":  # few edges join two labelled nodes
        # Repeated edges, most of them between the many-edged nodes that keep their labels, go.
        assert d.homophily() == pytest.approx(0.6, abs=0.01 if RECIPES[style].noise else 2e-3)
    assert neighbours.max() > 5 * neighbours.double().mean()  # a tail, no binomial
    assert d.labels[d.labels >= 0].bincount().min() > 0
    x = d.dense_features()
    assert x.dtype == torch.float32 and x.isfinite().all()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_tail_of_arxiv(seed):
    """ogbn-arxiv's node with the most has 13,161 neighbours of 169,343."""
    d = generate(style="arxiv", nodes=20_000, seed=seed)
    lengths = d.csr.row_lengths - 1
    assert int(lengths.max()) == pytest.approx(13_161 / 169_343 * 20_000, rel=0.08)
    assert float(lengths.double().mean()) == pytest.approx(13.7, rel=2e-3)
    assert d.homophily() == pytest.approx(0.658, abs=0.01)


@pytest.mark.parametrize("style", ["arxiv", "products", "papers100M"])
def test_drawn_in_parts_edges_are_as_many(style, monkeypatch):
    """Counted on a sample of some nodes, or of some pairs where few nodes have most repeats."""
    monkeypatch.setattr("infgrand_dgl.data.block_model.SAMPLE_NODES", 1 << 13)
    r = recipe(DataConfig(name="synthetic", style=style, nodes=60_000, degree=14))
    model = block_model(np.random.default_rng(0), r)
    keys = np.unique(np.concatenate(list(model.chunks(50_000, lambda done: None))))
    assert 2 * len(keys) / r.nodes == pytest.approx(14, rel=5e-3)


def test_features_of_each_style():
    citation = generate(style="citation")
    assert citation.features.is_sparse_csr
    assert 0.01 < citation.features.values().numel() / citation.features.numel() < 0.03
    rows = citation.dense_features().sum(dim=1)
    torch.testing.assert_close(rows, torch.ones_like(rows))
    for style, mean in (("arxiv", 1.0), ("products", 0.0), ("uniform", 0.0)):
        x = generate(style=style, nodes=20_000, degree=4).features
        assert float(x.mean(dim=0).norm()) == pytest.approx(mean, abs=0.05)
        spread = x.std(dim=0)
        assert float(spread[0] / spread[63]) == pytest.approx(8, rel=0.35)  # 1/sqrt(d)


def test_seed_repeats_and_changes():
    once, again, other = (generate(nodes=500, seed=s) for s in (3, 3, 4))
    assert torch.equal(once.csr.indices, again.csr.indices)
    assert torch.equal(once.dense_features(), again.dense_features())
    assert torch.equal(once.train, again.train)
    assert not torch.equal(once.labels, other.labels)


def test_splits():
    d = generate(style="citation")
    assert d.labels[d.train].bincount().tolist() == [20] * 7
    assert (len(d.val), len(d.test)) == (500, 1000)
    arxiv = generate(style="arxiv", nodes=10_000, degree=4)
    assert [len(part) for part in (arxiv.train, arxiv.val, arxiv.test)] == [5370, 1760, 2870]
    papers = generate(style="papers100M", nodes=100_000, degree=4, features=4)
    sizes = [len(part) for part in (papers.train, papers.val, papers.test)]
    assert sizes == [1087, 113, 193] and int((papers.labels >= 0).sum()) == sum(sizes)


def test_noise_is_what_no_model_can_learn():
    """The classes that drew the graph agree with 1 - noise of the labels, and a few by chance."""
    config = DataConfig(name="synthetic", style="arxiv", nodes=20_000)
    r = recipe(config)
    model = block_model(np.random.default_rng(0), r)
    wrong = model.classes != model.labels
    assert wrong.mean() == pytest.approx(r.noise, rel=0.06)
    lengths = (load_source(config).csr.row_lengths - 1).numpy()
    assert lengths[wrong].mean() < 0.6 * lengths[~wrong].mean()


def test_homophily_beyond_the_noise_is_told(caplog):
    d = generate(style="arxiv", nodes=20_000, homophily=0.99)
    (told,) = caplog.messages
    expected = float(told.split()[-2])
    assert told.startswith("data.homophily: 0.99 asked for")
    assert d.homophily() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("nodes", "degree", "classes", "falls_short"), [(60, 14, 3, False), (400, 90, 10, True)]
)
def test_crowded_graph_ends(nodes, degree, classes, falls_short, caplog):
    d = generate(nodes=nodes, degree=degree, classes=classes, homophily=1.0)
    size = d.labels.bincount()
    room = float((size * (size - 1)).sum()) / nodes
    reached = (d.num_edges - nodes) / nodes
    assert falls_short == (room < degree)
    assert reached == pytest.approx(min(degree, room), rel=0.02)
    told = [f"data.degree: {degree} asked for, {reached:.4g} reached"] if falls_short else []
    assert caplog.messages == told


@pytest.mark.parametrize("homophily", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(10))
def test_nearly_edgeless_graph(homophily, seed):
    for degree in (0.006, 0.02):
        d = generate(nodes=300, degree=degree, homophily=homophily, features=5, seed=seed)
        source, target = d.graph.edges()
        real = source != target
        assert real.sum() <= 2 * round(300 * degree / 2)
        same = d.labels[source[real]] == d.labels[target[real]]
        assert homophily == 0.5 or (same == (homophily == 1)).all()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"nodes": 20, "classes": 7}, "data.nodes: expected at least 4 per class"),
        ({"nodes": 100, "degree": 60}, "data.degree: 60.0 neighbours are too many for 100 nodes"),
        ({"style": "arxiv", "nodes": 500, "row_normalize": True}, "data.row_normalize: only for"),
    ],
)
def test_impossible_wishes(settings, told):
    with pytest.raises(InputError, match=told):
        generate(**settings)


def test_more_edges_than_there_is_room_for(monkeypatch, caplog):
    """Rounds that find almost nothing new do not draw ever more."""
    asked = []
    draw = BlockModel.draw

    def counted(self, count, inside):
        asked.append(count / self.wanted)
        return draw(self, count, inside)

    monkeypatch.setattr(BlockModel, "draw", counted)
    generate(style="arxiv", nodes=2300, degree=490, features=2)
    assert max(asked) < 1.01
    assert "data.degree: 490 asked for" in caplog.text
