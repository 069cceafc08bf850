"""Views under masks of nodes, against the equation in float64."""

from typing import Any

import pytest
import torch

from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import load_dataset
from infgrand_dgl.errors import InputError
from infgrand_dgl.ops import propagate, propagate_reference
from infgrand_dgl.propagation import random, views
from infgrand_dgl.propagation.random import MaskedPropagation, drawn_views, node_mask
from infgrand_dgl.propagation.views import RandomViews, number_stored
from infgrand_dgl.system.arrays import is_mapped
from infgrand_dgl.system.memory import Budget, resident
from infgrand_dgl.system.runtime import Runtime
from tests.conftest import random_undirected

ROOMY = Runtime(torch.device("cpu"), Budget(1 << 50))


def expected(csr, x, mask, **settings):
    """The equation: propagation of the masked features, in float64."""
    return propagate_reference(csr, mask.to(x.device)[:, None] * x.double(), **settings)


def test_the_mean_of_many_views_is_what_is_served():
    csr, x, settings = random_undirected(30, 60), torch.randn(30, 4).double(), dict[str, Any]()
    settings |= {"hops": 2, "pooling": "mean", "self_loop_weight": 1.0}
    masks = [node_mask(30, 0.3, 5, number) for number in range(1500)]
    mean = torch.stack([propagate(csr, x, mask=mask, **settings) for mask in masks]).mean(0)
    served = 0.7 * propagate_reference(csr, x, **settings)
    assert float((mean - served).abs().max()) < 0.15 * float(served.abs().max())


def test_masks_go_by_seed_and_number_alone():
    first = node_mask(5000, 0.3, 7, 2)
    torch.rand(3)
    assert torch.equal(node_mask(5000, 0.3, 7, 2), first)
    assert abs(float(first.double().mean()) - 0.7) < 0.05
    for other in (node_mask(5000, 0.3, 7, 3), node_mask(5000, 0.3, 8, 2)):
        assert 0.3 < float((other == first).double().mean()) < 0.8  # 0.58 if independent
    assert node_mask(50, 0.0, 7, 2).all()


def test_every_epoch_draws_other_views_of_those_stored():
    draws = [drawn_views(6, 4, 1, epoch) for epoch in range(200)]
    assert all(len(set(draw)) == 4 for draw in draws)
    assert {r for draw in draws for r in draw} == set(range(6)) and len(set(map(tuple, draws))) > 50
    assert draws == [drawn_views(6, 4, 1, epoch) for epoch in range(200)]


def configured(tiny, *overrides):
    base = ["random_propagation.mask=0.5", "random_propagation.views=2", "propagation.hops=3"]
    config = load_config(tiny, [*base, *overrides])
    return config, load_dataset(config, 1).observed_view()


def of_equation(config, view, seed, number):
    p = config.propagation
    settings = {"hops": p.hops, "pooling": p.pooling, "self_loop_weight": p.self_loop_weight}
    mask = node_mask(view.num_nodes, 0.5, seed, number)
    return expected(view.csr, view.dense_features(), mask, **settings)


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
@pytest.mark.parametrize("stored", [0, 5])
def test_views_of_an_epoch(stored, setting, tiny):
    """Of the observed graph where nodes are hidden; the same whatever epochs came before."""
    config, view = configured(
        tiny, f"random_propagation.stored={stored}", f"data.setting={setting}"
    )
    made = RandomViews(config, view, ROOMY, seed=3)
    assert len(made.stored) == stored
    for epoch in (4, 1):
        numbers = drawn_views(stored, 2, 3, epoch) if stored else [2 * epoch, 2 * epoch + 1]
        found = made.of(epoch)
        assert list(found) == ["view1", "view2"]
        for number, x in zip(numbers, found.values(), strict=True):
            assert x.dtype == (torch.float16 if stored else torch.float32)
            right = of_equation(config, view, 3, number)
            torch.testing.assert_close(x.double(), right, rtol=2e-3, atol=1e-4)


def test_stored_views_that_do_not_fit_are_files(tiny, tmp_path):
    """Made by slabs of columns."""
    config, view = configured(tiny, "random_propagation.stored=4")
    config = config.replace("propagation", hops=2)
    in_memory = RandomViews(config, view, ROOMY, seed=3).of(2)

    class Full(Budget):
        def left(self, device="cpu"):
            return 2 * 2 * view.num_nodes * view.num_features * 4 - 1

    runtime = Runtime(torch.device("cpu"), Full(1 << 50), tmp_path)
    mapped = RandomViews(config, view, runtime, seed=3).of(2)
    assert all(is_mapped(x) for x in mapped.values()) and len(list(tmp_path.glob("*.npy"))) == 4
    for name, x in mapped.items():
        assert torch.equal(x, in_memory[name])


def test_views_are_made_for_every_epoch_where_that_is_cheap(tiny, monkeypatch):
    """Few edges and hops, or many weights; and only where they fit."""
    config, view = configured(tiny)
    wide = config.replace("student", hidden=4096)
    assert number_stored(wide, view, ROOMY) == 0
    deep = config.replace("propagation", hops=5000)
    assert number_stored(deep, view, ROOMY) == views.STORED
    many = deep.replace("random_propagation", views=20)
    assert number_stored(many, view, ROOMY) == 20
    for stored in (0, 40):
        chosen = deep.replace("random_propagation", stored=stored)
        assert number_stored(chosen, view, ROOMY) == stored
    tight = Runtime(torch.device("cpu"), Budget(resident() + (1 << 10)))
    assert number_stored(wide, view, tight) == views.STORED
    with pytest.raises(InputError, match=r"resources.memory: .* to make views for every epoch"):
        number_stored(wide.replace("random_propagation", stored=0), view, tight)


def test_features_that_float16_cannot_hold(tiny):
    config, view = configured(tiny, "random_propagation.stored=3")
    view.features.mul_(1e9)
    with pytest.raises(InputError, match="features: too large for views in float16"):
        RandomViews(config, view, ROOMY, seed=3)


def test_fewer_stored_than_drawn(tiny):
    told = r"random_propagation: stored: .*at least views: 2; found 1"
    with pytest.raises(InputError, match=told):
        configured(tiny, "random_propagation.stored=1")


def test_no_masked_copy_is_propagated(device, monkeypatch):
    """The op reads X itself, through the mask, on the device of X."""
    seen = []

    def noted(graph, x, *, mask, **settings):
        seen.append((x.data_ptr(), mask.tolist(), mask.device == x.device))
        return propagate(graph, x, mask=mask, **settings)

    monkeypatch.setattr(random, "propagate", noted)
    csr, x = random_undirected(40, 90, device), torch.randn(40, 5, device=device)
    mask = node_mask(40, 0.5, 1, 0)
    settings: dict[str, Any] = {"hops": 3, "pooling": "max", "self_loop_weight": 1.5}
    found = MaskedPropagation(**settings, mask=mask).of(csr, x)
    assert seen == [(x.data_ptr(), mask.tolist(), True)]
    right = expected(csr, x, mask, **settings).float()
    torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-6)
