"""Sums and minimum of changed rows, against all of them."""

from functools import partial

import numpy as np
import pytest
import torch

from infgrand_dgl.influence import incremental
from infgrand_dgl.influence.cosine import minmax, unit_rows
from infgrand_dgl.influence.incremental import ChangedRows, Sums, updated
from infgrand_dgl.influence.minimum import min_cosine_reference


def rows(count, D, signed):
    x = torch.randn(count, D) if signed else torch.rand(count, D) * (torch.rand(count, D) < 0.4)
    x[torch.rand(count) < 0.05] = 0
    return x


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("normalization", ["minmax", "max", "none"])
def test_a_stream_of_changes(signed, normalization):
    """Of x, of y, of the pair that attains the minimum, and new rows."""
    N, D = 90, 6
    x, y = unit_rows(rows(N, D, signed)), unit_rows(rows(N, D, signed))
    sums = Sums.of(x, y, minimum=normalization == "minmax")
    for step in range(40):
        new = step % 4 // 3
        N += new
        x = torch.cat([x, x.new_zeros(new, D)])
        ids_x = torch.cat([torch.randperm(N - new)[: step % 3], torch.arange(N - new, N)])
        ids_y = torch.cat([torch.randperm(N - new)[: 5 * (step % 2)], torch.arange(N - new, N)])
        if step % 7 == 0 and sums.minimum is not None:
            ids_y = torch.cat([ids_y, torch.tensor([sums.minimum.pair[1]])]).unique()
        before = torch.cat([y, y.new_zeros(new, D)])
        y = before.clone()
        x[ids_x], y[ids_y] = (unit_rows(rows(len(ids), D, signed)) for ids in (ids_x, ids_y))
        now = y
        changed = ChangedRows(ids_y, before[ids_y], y[ids_y])
        sums = updated(sums, x, ids_x, changed, partial(torch.clone, now))

        scratch = Sums.of(x, y, minimum=False)
        torch.testing.assert_close(sums.total, scratch.total, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(sums.each, scratch.each, rtol=1e-6, atol=1e-5)
        if sums.minimum is None:
            continue
        assert sums.minimum.value == pytest.approx(min_cosine_reference(x, y), abs=1e-9)
        i, j = sums.minimum.pair
        assert float(x[i].double() @ y[j].double()) == pytest.approx(sums.minimum.value, abs=1e-9)
        expected = minmax(x, y, y).scores
        torch.testing.assert_close(sums.influence("minmax").scores, expected, rtol=0, atol=1e-6)


def test_all_pairs_are_searched_only_where_the_minimum_was_lost(monkeypatch):
    """An untouched pair needs the changed rows alone; so does one that others undercut."""
    N, D = 60, 4
    x, y = (unit_rows(torch.randn(N, D)) for _ in range(2))
    sums = Sums.of(x, y, minimum=True)
    assert sums.minimum is not None
    i, j = sums.minimum.pair
    asked: list[tuple[int, int]] = []
    real = incremental.min_cosine

    def counted(x, y, **settings):
        asked.append((len(x), len(y)))
        return real(x, y, **settings)

    monkeypatch.setattr(incremental, "min_cosine", counted)
    none, other = torch.empty(0, dtype=torch.long), (j + 1) % N

    def change(node, row):
        now = y.clone()
        now[node] = row
        ids = torch.tensor([node])
        found = updated(sums, x, none, ChangedRows(ids, y[ids], now[ids]), lambda: now)
        assert found.minimum is not None
        assert found.minimum.value == pytest.approx(min_cosine_reference(x, now), abs=1e-9)
        return [asked.pop(0) for _ in range(len(asked))]

    assert change(other, x[i]) == [(N, 1)]
    assert change(j, -x[i]) == [(N, 1)]
    assert change(j, x.mean(dim=0) / x.mean(dim=0).norm()) == [(N, 1), (N, N)]


def test_rounding_does_not_add_up():
    """After hundreds of small changes in float32 the sums are those of float64."""
    N, D = 300, 32
    x, y = (unit_rows(torch.rand(N, D)) for _ in range(2))
    sums, none = Sums.of(x, y, minimum=True), torch.empty(0, dtype=torch.long)
    anew = 0
    for _ in range(300):
        ids = torch.from_numpy(np.random.permutation(N)[:3])
        before = y[ids]
        y = y.clone()
        y[ids] = unit_rows(torch.rand(3, D))
        now = y
        sums = updated(sums, x, none, ChangedRows(ids, before, y[ids]), partial(torch.clone, now))
        anew += sums.drift == 0
    assert 0 < anew < 100
    torch.testing.assert_close(sums.each, x.double() @ y.double().sum(dim=0), rtol=1e-7, atol=0)
