from dataclasses import replace

import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.config.schema import DataConfig
from infgrand_dgl.data import load_source, with_split
from infgrand_dgl.data.dataset import NodeDataset, Split, check_labels, check_split
from infgrand_dgl.data.splits import by_influence, for_choosing, per_class, with_observed

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
    config = DataConfig(name="synthetic", nodes=2000, setting="inductive", observed="authors")
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


def adjacency(d):
    source, target = d.graph.edges()
    dense = torch.zeros(d.num_nodes, d.num_nodes, dtype=torch.bool)
    dense[source, target] = True
    return dense


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("observed", ["all", "authors"])
def test_settings_are_chosen_by_halves_of_the_validation_nodes(setting, standardize, observed):
    config = DataConfig(
        name="synthetic", nodes=3000, setting=setting, standardize=standardize, observed=observed
    )
    source = load_source(config)
    source = replace(source, split=per_class(source.labels, 0))  # some nodes are in no part
    whole = {seed: with_split(source, config, seed) for seed in (6, 7)}
    found = {seed: for_choosing(dataset, config, seed) for seed, dataset in whole.items()}
    for seed, d in found.items():
        run = whole[seed]
        ids, seen = torch.arange(run.num_nodes), torch.arange(run.num_nodes)
        if setting == "inductive":  # what is hidden in the run is not there at all
            assert run.parts.observed is not None and d.parts.observed is not None
            ids, seen = ids[~torch.isin(ids, run.test)], run.parts.observed
            training = ids[d.parts.observed]
            assert set(training.tolist()) == set(seen.tolist()) - set(ids[d.test].tolist())
        else:
            training = ids
            assert d.parts.observed is None and d.csr is run.csr
        assert d.num_nodes == len(ids) and torch.equal(d.labels, run.labels[ids])
        assert torch.equal(ids[d.train], run.train) and not len(d.parts.test_observed)
        assert torch.equal(ids[torch.cat([d.val, d.test])].sort().values, run.val)
        assert abs(len(d.val) - len(d.test)) <= 1
        assert torch.equal(adjacency(d), adjacency(run)[ids][:, ids])
        assert d.features.layout == source.features.layout
        rows = d.dense_features()
        spread = rows if d.parts.observed is None else rows[d.parts.observed]
        if standardize:  # by what training sees now
            spread = spread.double().std(0, correction=0)
            some = spread > 0
            torch.testing.assert_close(spread[some], torch.ones_like(spread)[some])
        else:
            assert torch.equal(spread, source.dense_features()[training])

    a, b = found[6], found[7]
    if setting == "transductive":  # one graph, and the halves swapped
        assert torch.equal(a.val, b.test) and torch.equal(a.test, b.val)
        again = for_choosing(whole[6], config, 8)
        assert not torch.equal(again.val, a.val) and not torch.equal(again.val, a.test)


def test_one_validation_node_cannot_be_halved():
    config = DataConfig(name="synthetic", nodes=300)
    d = with_split(load_source(config), config, 0)
    few = replace(d, split=replace(d.parts, val=d.val[:1]))
    with pytest.raises(InputError, match=r"split val: expected two nodes or more, .*; found 1"):
        for_choosing(few, config, 0)


def test_nodes_outside_the_splits_stay_observed():
    """All but the hidden ones, and those of the splits first, in the order of the authors'."""
    config = DataConfig(name="synthetic", nodes=2000, setting="inductive")
    source = load_source(config)
    published = config.model_copy(update={"observed": "authors"})
    theirs, ours = (with_split(source, c, 7) for c in (published, config))
    assert torch.equal(ours.test, theirs.test)
    first, all_seen = theirs.parts.observed, ours.parts.observed
    assert first is not None and all_seen is not None
    assert torch.equal(all_seen[: len(first)], first)
    everything = torch.cat([all_seen, ours.test]).sort().values
    assert torch.equal(everything, torch.arange(2000)) and len(first) + len(ours.test) < 2000
    assert ours.observed_view().num_nodes == 2000 - len(ours.test)


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
def test_what_propagation_needs_is_what_training_sees(setting):
    config = DataConfig(name="synthetic", nodes=2000, setting=setting)
    source = load_source(config)
    found, whole = (f(source, config, 3).parts.observed for f in (with_observed, with_split))
    if setting == "transductive":
        assert found is None and whole is None
    else:
        assert found is not None and whole is not None and torch.equal(found, whole)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (([0, 1], [2], []), "^x: split test: expected at least one node, found none$"),
        (([0, 1], [2], [9]), "split test: expected ids 0 to 7, found 9"),
        (([0, 1], [2], [-1]), "split test: expected ids 0 to 7, found -1"),
        (([0, 1], [2], [1]), r"split test: node 1 is in the splits twice \(train, test\)"),
        (([0, 1, 1], [2], [3]), r"split train: node 1 is in the splits twice \(train, train\)"),
        (([0, 1], [2], [7]), "split test: node 7 has no label"),
        (([0, 2], [1], [3]), "split train: expected nodes of several classes, found 2 of one"),
    ],
)
def test_bad_split(parts, told):
    labels = torch.tensor([0, 1, 0, 1, 0, 1, 0, -1])
    split = Split(*(torch.tensor(p, dtype=torch.long) for p in parts))
    with pytest.raises(InputError, match=told):
        check_split(split, len(labels), "x")
        check_labels(split, labels, "x")


@pytest.mark.parametrize("mask", [torch.ones(8, dtype=torch.bool), torch.ones(8, 1).byte()])
def test_masks_are_no_ids(mask):
    told = (
        r"^x: split val: expected ids, int64 \[n\], found (bool \[8\]|uint8 \[8, 1\]); mask.nonzero"
    )
    with pytest.raises(InputError, match=told):
        check_split(Split(torch.tensor([0, 1]), mask, torch.tensor([2])), 8, "x")


def test_number_of_a_split_that_is_drawn():
    source = replace(load_source(DataConfig(name="synthetic")), split=None)
    with pytest.raises(InputError, match="data.split: expected seed or null, .*; found 1"):
        with_split(source, DataConfig(name="synthetic", split=1), 0)
    drawn = with_split(source, DataConfig(name="synthetic", split="seed"), 4)
    assert torch.equal(drawn.train, per_class(source.labels, 4).train)


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


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_splits_without_classes(task):
    """Drawn by shares of the nodes with some label; thinned, hidden and cut by influence."""
    n = 400
    labels = torch.randint(2, (n, 3)).float()
    labels[torch.rand(n, 3) < 0.2] = torch.nan
    labels[:40], labels[40] = torch.nan, 1.0
    source = NodeDataset.from_arrays(
        torch.randint(n, (2, 900)), torch.rand(n, 4), labels, task=task
    )
    config = DataConfig(name="synthetic", setting="inductive", label_rate=0.25)
    thin = with_split(source, config, 3)
    whole = with_split(source, config.model_copy(update={"label_rate": None}), 3)
    assert set(thin.train.tolist()) < set(whole.train.tolist())
    assert len(thin.train) == round(0.25 * len(whole.train))
    assert torch.equal(thin.val, whole.val)
    parts = torch.cat([whole.train, whole.val, whole.test, whole.parts.test_observed])
    known = source.labelled.nonzero().flatten()
    assert torch.equal(parts.sort().values, known) and len(known) < n - 39
    assert len(whole.train) == round(0.5 * len(known))
    view = whole.observed_view()
    assert view.task == task and view.num_classes == 3
    assert torch.equal(view.labels.nan_to_num(9), whole.labels[whole.parts.observed].nan_to_num(9))
    scores = torch.rand(n)
    few = config.model_copy(update={"label_choice": "high"})
    best = by_influence(with_split(source, few, 3), few, scores)
    assert scores[best.train].min() >= scores[whole.train].sort().values[-len(best.train)]
