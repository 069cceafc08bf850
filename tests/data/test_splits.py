import torch

from infgrand_dgl.config.schema import DataConfig
from infgrand_dgl.data import load_source, with_split
from infgrand_dgl.data.splits import per_class

LABELS = torch.randint(5, (4000,), generator=torch.Generator().manual_seed(0))


def test_per_class_is_the_authors_draw():
    """Their sequence: seed; a permutation of each class; of the rest; of the rest of that."""
    torch.manual_seed(2022)
    train: torch.Tensor = torch.zeros(4000, dtype=torch.bool)
    for c in range(5):
        ids = torch.eq(LABELS, c).nonzero().flatten()
        train[ids[torch.randperm(len(ids))[:20]]] = True
    rest = train.logical_not().nonzero().flatten()
    val = torch.zeros(4000, dtype=torch.bool)
    val[rest[torch.randperm(len(rest))[:500]]] = True
    rest = (train | val).logical_not().nonzero().flatten()
    test = rest[torch.randperm(len(rest))[:1000]].sort().values
    found = per_class(LABELS, 2022)
    assert torch.equal(found.train, train.nonzero().flatten())
    assert torch.equal(found.val, val.nonzero().flatten())
    assert torch.equal(found.test, test)


def test_unlabelled_nodes_are_left_out():
    labels = LABELS.clone()
    labels[:1000] = -1
    found = per_class(labels, 1)
    assert all(ids.min() >= 1000 for ids in (found.train, found.val, found.test))


def test_inductive_hides_a_fifth_of_the_test_nodes():
    config = DataConfig(name="synthetic", nodes=2000, setting="inductive")
    source = load_source(config)
    whole = source.parts
    d = with_split(source, config, 7)
    assert len(d.test) == int(0.2 * len(whole.test))
    assert set(d.test.tolist()) | set(d.parts.test_observed.tolist()) == set(whole.test.tolist())
    observed = d.parts.observed
    assert observed is not None
    assert set(observed.tolist()) == set(
        torch.cat([whole.train, whole.val, d.parts.test_observed]).tolist()
    )
    assert not torch.equal(with_split(source, config, 8).test, d.test)

    view = d.observed_view()
    assert view.num_nodes == len(observed)
    assert torch.equal(view.labels, d.labels[observed])
    assert torch.equal(observed[view.train], d.train)
    assert torch.equal(observed[view.val], d.val)
    assert torch.equal(observed[view.test], d.parts.test_observed)
    # Every edge of the view is an edge between observed nodes, and none is missing.
    s, t = view.graph.edges()
    found = set(zip(observed[s].tolist(), observed[t].tolist(), strict=True))
    inside = torch.zeros(d.num_nodes, dtype=torch.bool)
    inside[observed] = True
    s, t = d.graph.edges()
    keep = inside[s] & inside[t]
    assert found == set(zip(s[keep].tolist(), t[keep].tolist(), strict=True))


def test_label_rate_keeps_a_share_of_each_class():
    config = DataConfig(name="synthetic", label_rate=0.4, setting="inductive")
    source = load_source(config)
    d = with_split(source, config, 3)
    assert d.labels[d.train].bincount().tolist() == [8] * 7
    assert set(d.train.tolist()) <= set(source.train.tolist())
    assert d.parts.observed is not None  # the other training nodes stay in the graph
    assert set(source.train.tolist()) <= set(d.parts.observed.tolist())
    scarce = with_split(source, config.model_copy(update={"label_rate": 0.01}), 3)
    assert scarce.labels[scarce.train].bincount().tolist() == [1] * 7
