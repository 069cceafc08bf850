"""Contenders of a few lines, and events that are none."""

from functools import partial
from typing import Any

import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.benchmark import harness
from infgrand_dgl.benchmark.harness import Contender, Row, Run, copy_bandwidth, measure, resident
from infgrand_dgl.present.console import Reporter

CPU = torch.device("cpu")
QUIET = Reporter(quiet=True)


def ready(run: Run, method: str = "it", **settings: Any) -> Contender:
    """With nothing to prepare."""
    return Contender(method, lambda: run, **settings)


def test_contenders_take_turns_and_the_unaffordable_is_skipped():
    calls: list[str] = []
    three = [ready(partial(calls.append, name), name) for name in "abc"]
    three[2].needs = 1 << 62
    rows = measure(three, 3, CPU, QUIET)
    assert calls == ["a", "b"] * 4  # once to warm up
    assert rows[2]["method"] == "c" and "needs 4294967296.0 GiB" in rows[2]["skipped"]


def test_contenders_alike_are_compared_and_may_time_themselves():
    columns = [{"batch": 1}, {"batch": 1}, {"batch": 2}, {"batch": 2}]
    laps = [[1.0, 2.0, 3.0], [8.0], [5.0], []]
    four = [
        ready(partial(laps.__getitem__, i), "abcd"[i], columns=columns[i], laps=True)
        for i in range(4)
    ]
    four[3].missing = "no such thing here"
    a, b, c, d = measure(four, 1, CPU, QUIET)
    assert a["seconds"] == {"median": 2, "min": 1, "max": 3}
    assert (a["speedup"], b["speedup"], c["speedup"]) == (4, 1, 1)
    assert d == {"method": "d", "batch": 2, "skipped": "no such thing here"}


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        type("OutOfMemoryError", (MemoryError,), {})("Out of memory allocating 8 bytes"),  # CuPy's
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("cusparseSpMM: CUSPARSE_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: out of memory\nCompile with ..."),
    ],
)
@pytest.mark.parametrize("when", ["prepare", 0, 2, "describe"])
def test_memory_runs_out(error, when):
    """While data is made, in the warm-up, in a round, in the comparison: the others go on."""
    calls: list[str] = []

    def prepare() -> Run:
        if when == "prepare":
            raise error
        return run

    def run() -> None:
        calls.append("hungry")
        if calls.count("hungry") - 1 == when:
            raise error

    def describe(result: None) -> Row:
        if when == "describe":
            raise error
        return {}

    other = ready(partial(calls.append, "other"), "other")
    rows = measure([Contender("hungry", prepare, describe), other], 3, CPU, QUIET)
    assert rows[0] == {"method": "hungry", "skipped": "out of memory"}
    assert "seconds" in rows[1] and calls.count("other") == 4
    assert calls.count("hungry") == {"prepare": 0, 0: 1, 2: 3, "describe": 1}[when]


def test_its_tensors_are_freed():
    held: list[Any] = []

    class Data:
        def __del__(self) -> None:
            held.remove(id(self))

    def prepare() -> Run:
        data = Data()
        held.append(id(data))

        def run() -> None:
            local = data  # in the frame that the traceback holds
            raise MemoryError(str(local))

        return run

    freed: list[bool] = []
    measure([Contender("hungry", prepare), ready(lambda: freed.append(not held))], 1, CPU, QUIET)
    assert freed == [True, True]


def test_another_failure_is_told_and_bad_input_ends_it():
    def fails() -> None:
        raise RuntimeError("int32 is not supported\nmore")

    row, other = measure([ready(fails, "a"), ready(lambda: None, "b")], 1, CPU, QUIET)
    assert row == {"method": "a", "skipped": "RuntimeError: int32 is not supported", "failed": True}
    assert "seconds" in other

    def refuses() -> None:
        raise InputError("teacher.heads: 3")

    with pytest.raises(InputError, match="heads"):
        measure([ready(refuses)], 1, CPU, QUIET)


def test_rows_are_kept_after_every_turn():
    seen: list[list[str]] = []

    def keep(rows: list[Row]) -> None:
        seen.append([row["method"] for row in rows if "seconds" in row])

    contenders = [ready(lambda: None, name) for name in "ab"]
    rows = measure(contenders, 2, CPU, QUIET, keep)
    assert seen == [["a"], *[["a", "b"]] * 5] and len(rows) == 2
    assert [len(c.seconds) for c in contenders] == [2, 2]


@pytest.mark.parametrize(("room", "times"), [(100, 1), (60, 4)])
def test_what_does_not_fit_together_is_prepared_for_every_turn(room, times, monkeypatch):
    monkeypatch.setattr(harness, "free_bytes", lambda device: room)
    prepared: list[str] = []
    calls: list[str] = []

    def prepare(name: str) -> Run:
        prepared.append(name)
        return partial(calls.append, name)

    two = [Contender(n, partial(prepare, n), needs=50, holds=30) for n in "ab"]
    # Never run, and so in nobody's way.
    rows = measure([*two, ready(lambda: None, needs=101, holds=101)], 3, CPU, QUIET)
    assert prepared == ["a", "b"] * times
    assert len(calls) == 2 * (4 + times - 1)  # prepared anew, it is warmed up anew
    assert ["seconds" in row for row in rows] == [True, True, False]


@pytest.mark.skipif(resident(CPU) is None, reason="reads /proc")
def test_peak_memory_is_that_of_the_call():
    def prepare() -> Run:
        data = torch.ones(100 << 20, dtype=torch.uint8)
        return lambda: len(data) + len(torch.ones(50 << 20, dtype=torch.uint8))

    (row,) = measure([Contender("hungry", prepare)], 1, CPU, QUIET)
    assert 45 << 20 < row["peak_bytes"] < 80 << 20


def test_copy_bandwidth():
    assert 1e8 < copy_bandwidth(CPU, megabytes=4) < 1e13


class Stream:
    """Works on what it is given in order; time passes as it does, and while the host launches."""

    def __init__(self) -> None:
        self.host = self.device = 0.0  # microseconds
        self.events: list[Event] = []

    def launch(self, microseconds: float) -> None:
        self.host += 10
        self.device = max(self.device, self.host) + microseconds


class Event:
    def __init__(self, stream: Stream) -> None:
        self.stream, self.at = stream, 0.0
        stream.events.append(self)

    def record(self) -> None:
        self.stream.launch(0)
        self.at = self.stream.device

    def synchronize(self) -> None:
        self.stream.host = max(self.stream.host, self.at)

    def elapsed_time(self, end: "Event") -> float:
        assert self.stream.host >= end.at, "has not been waited for"
        return (end.at - self.at) / 1e3


@pytest.mark.parametrize(("occupied", "expected"), [(0.0, 40.0), (100.0, 21.0)])
def test_kernels_are_not_charged_for_being_launched(occupied, expected):
    """Three of 7 µs that take 10 to launch: 21 on a device at work, else one waits for the next."""
    stream = Stream()

    def call() -> str:
        for _ in range(3):
            stream.launch(7)
        return "result"

    for _ in range(2):
        timed = harness.between_events(call, lambda: Event(stream), lambda: stream.launch(occupied))
        assert timed == (pytest.approx(expected / 1e6), "result")
    assert len(stream.events) == 4


def test_a_long_call_is_timed_whole():
    stream = Stream()

    def call() -> None:  # launches, waits, works on the host, launches
        stream.launch(500)
        stream.host = stream.device + 1000
        stream.launch(300)

    seconds, _ = harness.between_events(call, lambda: Event(stream), lambda: stream.launch(100))
    assert seconds == pytest.approx((500 + 1000 + 10 + 300) / 1e6)
