"""Requests are asked together, in order, each gets its own rows, and none waits for nothing."""

import asyncio
import threading

import numpy as np
import pytest

from infgrand_dgl.serving.service.batching import Batcher, quick_rows


def doubled(x):
    return {"twice": 2 * x, "sum": x.sum(axis=1, keepdims=True)}


async def all_of(batcher, parts):
    asked = (batcher(len(x), lambda x=x: x) for x in parts)
    return await asyncio.gather(*asked, return_exceptions=True)


@pytest.mark.parametrize("quick", [0, 5, 1000])
def test_each_gets_its_own_rows(quick):
    sizes: list[int] = []
    parts = [np.random.randn(n, 3) for n in np.random.randint(0, 8, 50)]

    async def run():
        batcher = Batcher(doubled, 10, 10_000, quick, sizes.append)
        said = await all_of(batcher, parts)
        assert batcher.waiting == 0
        return said

    for x, said in zip(parts, asyncio.run(run()), strict=True):
        assert np.array_equal(said["twice"], 2 * x) and said["sum"].shape == (len(x), 1)
    assert sum(sizes) == sum(map(len, parts)) and max(sizes) <= 10
    assert len(sizes) < len(parts) / 1.5  # together


def test_what_comes_while_the_model_is_at_work_is_asked_together():
    sizes: list[int] = []
    started, go = threading.Event(), threading.Event()

    def slow(x):
        started.set()
        go.wait(10)
        return doubled(x)

    async def run():
        batcher = Batcher(slow, 100, 1000, 0, sizes.append)
        first = asyncio.create_task(batcher(1, lambda: np.ones((1, 2))))
        await asyncio.to_thread(started.wait, 10)
        others = [asyncio.create_task(batcher(2, lambda: np.ones((2, 2)))) for _ in range(5)]
        await asyncio.sleep(0.01)
        assert batcher.waiting == 10
        others[0].cancel()  # its client has gone
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(first, *others[1:])

    asyncio.run(run())
    assert sizes == [1, 8]


def test_a_full_queue_refuses_and_goes_on():
    async def run():
        batcher = Batcher(doubled, 4, 6, 0)
        return await all_of(batcher, [np.ones((n, 2)) for n in (3, 3, 1, 4)])

    said = asyncio.run(run())
    assert [isinstance(each, asyncio.QueueFull) for each in said] == [False, False, True, True]


def test_more_than_may_wait_goes_alone():
    async def run():
        return await all_of(Batcher(doubled, 10, 6, 0), [np.ones((8, 2))])

    assert asyncio.run(run())[0]["sum"].shape == (8, 1)


def test_who_was_cancelled_waits_no_more():
    go = threading.Event()

    def slow(x):
        go.wait(10)
        return doubled(x)

    async def run():
        batcher = Batcher(slow, 10, 6, 0)
        first = asyncio.create_task(batcher(1, lambda: np.ones((1, 2))))
        await asyncio.sleep(0.01)
        others = [asyncio.create_task(batcher(3, lambda: np.ones((3, 2)))) for _ in range(2)]
        await asyncio.sleep(0)
        assert batcher.waiting == 6
        for other in others:
            other.cancel()
        await asyncio.sleep(0.01)
        assert batcher.waiting == 0
        go.set()
        await first
        assert batcher.waiting == 0

    asyncio.run(run())


@pytest.mark.parametrize("quick", [0, 1000])
def test_a_failure_is_told_to_those_it_concerns(quick):
    def fails(x):
        if (x < 0).any():
            raise ZeroDivisionError
        return doubled(x)

    async def run():
        batcher = Batcher(fails, 2, 100, quick)
        return await all_of(batcher, [np.full((2, 1), v) for v in (1.0, -1.0, 1.0)])

    kinds = [type(each) for each in asyncio.run(run())]
    assert kinds == [dict, ZeroDivisionError, dict]


def test_quick_rows_are_those_that_take_no_time():
    now = [0.0]

    def ask(x):
        now[0] += 1e-4 * len(x)
        return doubled(x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.perf_counter", lambda: now[0])
        assert quick_rows(ask, np.zeros((1, 3)), 4096) == 8
        assert quick_rows(ask, np.zeros((1, 3)), 3) == 2
