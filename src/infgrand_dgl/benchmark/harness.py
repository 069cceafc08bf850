"""Times contenders for one task, in turn, and weighs what they hold."""

import gc
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..allocator import freed_memory_kept, return_freed_memory
from ..console import Reporter
from ..errors import InputError

SLOW = 10.0  # seconds; a contender that takes longer is run once
Row = dict[str, Any]


@dataclass(eq=False)
class Contender:
    """One way to do the task.

    Args:
        run: does it and returns what `describe` wants to see.
        describe: more columns of its row, from the result and the median seconds.
        needs: bytes it is known to need; it is skipped, and says so, where they are not there.
        missing: why it cannot run here at all, if so.
        columns: what else tells its row from others (a batch size); speedup is over the slowest
            with the same.
        laps: `run` returns the seconds that count, of the parts of its call or of many calls.
    """

    method: str
    run: Callable[[], Any]
    describe: Callable[[Any, float], Row] = lambda result, seconds: {}
    needs: int = 0
    missing: str = ""
    columns: Row = field(default_factory=dict)
    laps: bool = False
    seconds: list[float] = field(default_factory=list)
    peak: int | None = None
    result: Any = None


@freed_memory_kept()
def measure(
    contenders: Sequence[Contender], repeat: int, device: torch.device, report: Reporter
) -> list[Row]:
    """Warms every contender up, then lets them take turns `repeat` times.

    As in the training loop, what one call frees the next may use: no contender is charged for
    fresh pages.

    Returns:
        A row each: method, seconds {median, min, max}, peak_bytes above what was there before,
        speedup over the slowest that ran, and what the contender adds; or method and skipped.
    """
    free = free_bytes(device)
    running = [c for c in contenders if not c.missing and c.needs <= free]
    once: list[Contender] = []
    with _collecting_new(), report.stage("measuring", len(running) * (repeat + 1)) as stage:
        done = 0
        for c in running:
            gc.collect()
            return_freed_memory()
            before = resident(device, start_peak=True)
            seconds, c.result = timed(c.run, device)
            peak = resident(device, peak=True)
            c.peak = None if before is None or peak is None else max(0, peak - before)
            if seconds > SLOW:
                once.append(c)
                c.seconds.extend(c.result if c.laps else [seconds])
            stage.update(done := done + 1, note=c.method)
        for _ in range(repeat):
            for c in running:
                if c not in once:
                    gc.collect()
                    seconds, result = timed(c.run, device)
                    c.seconds.extend(result if c.laps else [seconds])
                stage.update(done := done + 1, note=c.method)
        stage.result = f"{repeat} rounds"
    rows: list[Row] = []
    for c in contenders:
        row: Row = {"method": c.method, **c.columns}
        rows.append(row)
        if c not in running:
            needs = f"needs {c.needs / 2**30:.1f} GiB, {free / 2**30:.1f} are free"
            row["skipped"] = c.missing or needs
            continue
        median = statistics.median(c.seconds)
        alike = [other for other in running if other.columns == c.columns]
        slowest = max(statistics.median(other.seconds) for other in alike)
        row |= {
            "seconds": {"median": median, "min": min(c.seconds), "max": max(c.seconds)},
            "peak_bytes": c.peak,
            "speedup": slowest / median,
            **c.describe(c.result, median),
        }
    return rows


@contextmanager
def _collecting_new() -> Iterator[None]:
    """Garbage is collected before every call; what is there by now is not looked at again."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def timed(call: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
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
    found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    return 1024 * int(found[1]) if found else 1 << 62


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
    found = re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", status)
    return 1024 * int(found[1]) if found else None


def copy_bandwidth(device: torch.device, megabytes: int = 256) -> float:
    """Bytes read and written per second by a large copy."""
    source = torch.ones(megabytes << 18, device=device)
    target = torch.empty_like(source)
    best = min(timed(lambda: target.copy_(source), device)[0] for _ in range(5))
    return 2 * source.numel() * source.element_size() / best


def set_threads(threads: int | None) -> None:
    if threads is not None:
        if threads < 1:
            raise InputError(f"--threads: expected 1 or more, found {threads}")
        torch.set_num_threads(threads)
