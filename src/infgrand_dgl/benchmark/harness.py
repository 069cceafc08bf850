"""Times contenders for one task, in turn, and weighs what they hold."""

import gc
import logging
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ..errors import InputError
from ..present.console import Reporter
from ..system.allocator import freed_memory_kept, return_freed_memory

log = logging.getLogger(__name__)

SLOW = 10.0  # seconds; a contender that takes longer is run once
OUT_OF_MEMORY = "out of memory"
Row = dict[str, Any]
Run = Callable[[], Any]


@dataclass(eq=False)
class Contender:
    """One way to do the task.

    Args:
        prepare: makes what this way needs (an adjacency in its format), untimed, and returns what
            is timed: a call that does the task and returns what `describe` wants to see.
        describe: more columns of its row, from the first result.
        rates: more columns, from the median seconds.
        needs: bytes that it is known to take on the device beside what all share; it is skipped,
            and says so, where they are not there.
        holds: those of them that `prepare` leaves behind.
        missing: why it cannot run here at all, if so.
        columns: what else tells its row from others (a batch size); speedup is over the slowest
            with the same.
        laps: the call returns the seconds that count, of its parts or of many calls.
        of_laps: more columns, from all of them.
    """

    method: str
    prepare: Callable[[], Run] = lambda: lambda: None
    describe: Callable[[Any], Row] = lambda result: {}
    rates: Callable[[float], Row] = lambda seconds: {}
    needs: int = 0
    holds: int = 0
    missing: str = ""
    columns: Row = field(default_factory=dict)
    laps: bool = False
    of_laps: Callable[[Sequence[float]], Row] = lambda seconds: {}
    # What measuring adds.
    run: Run | None = None
    skipped: str = ""
    failed: bool = False
    slow: bool = False
    warm_up: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    peak: int | None = None
    described: Row = field(default_factory=dict)


@freed_memory_kept()
def measure(
    contenders: Sequence[Contender],
    repeat: int,
    device: torch.device,
    report: Reporter,
    keep: Callable[[list[Row]], None] = lambda rows: None,
) -> list[Row]:
    """Warms every contender up, then lets them take turns `repeat` times.

    As in the training loop, what one call frees the next may use: no contender is charged for
    fresh pages. What they prepare stays for all turns; where it does not fit together, each
    prepares anew for every turn. One that runs out of memory, or fails, is out; the others go on.

    Args:
        keep: is given the rows so far after every turn; those of the warm-up until there is more.

    Returns:
        A row each: method, seconds {median, min, max}, peak_bytes above what was there before,
        speedup over the slowest that ran, and what the contender adds; or method and skipped, and
        failed where memory was not the reason.
    """
    _release(device)
    timed(lambda: None, device)  # what it needs is there before memory is weighed
    for c in contenders:
        c.skipped = c.missing
    able = [c for c in contenders if not c.skipped]
    free = free_bytes(device)
    fitting = [c for c in able if c.needs <= free]
    most = max((c.needs - c.holds for c in fitting), default=0)
    crowded = sum(c.holds for c in fitting) + most > free
    with _collecting_new(), report.bar("measuring", len(able) * (repeat + 1)) as bar:
        for turn in range(repeat + 1):
            for k, c in enumerate(able):
                if not (c.skipped or c.slow):
                    _take_turn(c, device, warm_up=turn == 0)
                    if c.skipped or crowded:
                        c.run = None
                        _release(device)
                    keep(_rows(contenders))
                bar.update(turn * len(able) + k + 1, note=c.method)
        bar.result = f"{repeat} rounds"
    return _rows(contenders)


def _take_turn(c: Contender, device: torch.device, warm_up: bool) -> None:
    try:
        if c.run is None:
            if c.needs > free_bytes(device):
                _release(device)
            if c.needs > (free := free_bytes(device)):
                c.skipped = f"needs {c.needs / 2**30:.1f} GiB, {free / 2**30:.1f} are free"
                return
            c.run = c.prepare()
            if not warm_up:
                c.run()  # it finds memory as warm as those that stay
        gc.collect()
        if warm_up:
            return_freed_memory()
            before = resident(device, start_peak=True)
        seconds, result = timed(c.run, device)
        if not warm_up:
            c.seconds.extend(result if c.laps else [seconds])
            return
        peak = resident(device, peak=True)
        c.peak = None if before is None or peak is None else max(0, peak - before)
        c.warm_up = result if c.laps else [seconds]
        c.slow = seconds > SLOW
        c.described = c.describe(result)
    except InputError:
        raise
    except Exception as error:
        log.info("%s", c.method, exc_info=True)
        c.failed = not is_out_of_memory(error)
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        c.skipped = reason if c.failed else OUT_OF_MEMORY


def is_out_of_memory(error: Exception) -> bool:
    """torch's and CuPy's errors, numpy's, and those of other kinds that say so."""
    said = "out of memory|not enough memory|t allocate memory|ALLOC_FAILED|bad_alloc"
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or bool(
        re.search(said, str(error))
    )


def _release(device: torch.device) -> None:
    """What nobody holds any more goes back to the device."""
    gc.collect()
    return_freed_memory()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        if cupy := sys.modules.get("cupy"):
            cupy.get_default_memory_pool().free_all_blocks()


def _rows(contenders: Sequence[Contender]) -> list[Row]:
    rows: list[Row] = []
    medians = {c: statistics.median(c.seconds or c.warm_up) for c in contenders if _has_run(c)}
    for c in contenders:
        row: Row = {"method": c.method, **c.columns}
        if c in medians:
            seconds, median = c.seconds or c.warm_up, medians[c]
            row |= {
                "seconds": {"median": median, "min": min(seconds), "max": max(seconds)},
                "peak_bytes": c.peak,
                "speedup": max(medians[o] for o in medians if o.columns == c.columns) / median,
                **c.rates(median),
                **c.of_laps(seconds),
                **c.described,
            }
        elif c.skipped:
            row["skipped"] = c.skipped
            if c.failed:
                row["failed"] = True
        else:  # its turn has not come yet
            continue
        rows.append(row)
    return rows


def _has_run(c: Contender) -> bool:
    return not c.skipped and bool(c.warm_up)


@contextmanager
def _collecting_new() -> Iterator[None]:
    """Garbage is collected before every call; what is there by now is not looked at again."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def timed(call: Run, device: torch.device) -> tuple[float, Any]:
    """Seconds that the device works on a call, and its result."""
    if device.type != "cuda":
        return waited(call, device)
    with torch.cuda.device(device):
        event = partial(torch.cuda.Event, enable_timing=True)
        return between_events(call, event, partial(_occupy, device))


class Event(Protocol):
    """What is used of `torch.cuda.Event`."""

    def record(self) -> None: ...
    def synchronize(self) -> None: ...
    def elapsed_time(self, end_event: Any) -> float: ...


def between_events(
    call: Run, event: Callable[[], Event], occupy: Callable[[], object]
) -> tuple[float, Any]:
    """Seconds between two events around a call on the current stream, and its result.

    `occupy` keeps the device at work while the call is launched: kernels of some microseconds are
    not charged for their own launch, as long as it takes less.
    """
    start, end = event(), event()
    for each in (start, end):  # made by their first record
        each.record()
    occupy()
    start.record()
    result = call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3, result


def _occupy(device: torch.device) -> None:
    """Reads 256 MB, which is more than any L2, ten times: then it holds nothing of the call's, and
    nothing that must be written back first. An H100 takes 1 ms for that, a launch from Python up to
    a third of it where garbage has just been collected."""
    scratch = _scratch(device)
    for _ in range(10):
        scratch.max()


@cache
def _scratch(device: torch.device) -> Tensor:
    return torch.zeros(1 << 26, device=device)


def waited(call: Run, device: torch.device) -> tuple[float, Any]:
    """Seconds that a caller waits for a result, launches included, and the result."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    result = call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start, result


def free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    line = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    return 1024 * int(line[1]) if line else 1 << 62


def resident(device: torch.device, *, peak: bool = False, start_peak: bool = False) -> int | None:
    """Bytes in use, or at the peak since `start_peak`; None where the system does not tell."""
    if device.type == "cuda":
        if start_peak:
            torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.max_memory_allocated(device)
    if start_peak:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    line = re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", status)
    return 1024 * int(line[1]) if line else None


def copy_bandwidth(device: torch.device, megabytes: int | None = None) -> float:
    """Bytes read and written per second by a large copy: of 1 GiB on a GPU, 256 MiB on a CPU."""
    default = 1024 if device.type == "cuda" else 256
    source = torch.ones((megabytes or default) << 18, device=device)
    target = torch.empty_like(source)
    best = min(timed(lambda: target.copy_(source), device)[0] for _ in range(5))
    return 2 * source.numel() * source.element_size() / best


def set_threads(threads: int | None) -> None:
    if threads is not None:
        if threads < 1:
            raise InputError(f"--threads: expected 1 or more, found {threads}")
        torch.set_num_threads(threads)
