"""Times contenders for one task, in turn, and reports them as a table, JSON and a picture."""

import gc
import json
import re
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..console import Reporter
from ..environment import environment
from ..errors import InputError
from ..figures import medians
from ..run import writing

SLOW = 10.0  # seconds; a contender that takes longer is run once
Row = dict[str, Any]


@dataclass
class Contender:
    """One way to do the task.

    Args:
        run: does it and returns what `describe` wants to see.
        describe: more columns of its row, from the result and the median seconds.
        needs: bytes it is known to need; it is skipped, and says so, where they are not there.
    """

    method: str
    run: Callable[[], Any]
    describe: Callable[[Any, float], Row] = lambda result, seconds: {}
    needs: int = 0
    seconds: list[float] = field(default_factory=list)
    peak: int | None = None
    result: Any = None


def measure(
    contenders: Sequence[Contender], repeat: int, device: torch.device, report: Reporter
) -> list[Row]:
    """Warms every contender up, then lets them take turns `repeat` times.

    Returns:
        A row each: method, seconds {median, min, max}, peak_bytes above what was there before,
        speedup over the slowest that ran, and what the contender adds; or method and skipped.
    """
    free = free_bytes(device)
    running = [c for c in contenders if c.needs <= free]
    with report.stage("measuring", len(running) * (repeat + 1)) as stage:
        done = 0
        for c in running:
            before = resident(device, start_peak=True)
            seconds, c.result = timed(c.run, device)
            peak = resident(device, peak=True)
            c.peak = None if before is None or peak is None else max(0, peak - before)
            if seconds > SLOW:
                c.seconds.append(seconds)
            stage.update(done := done + 1, c.method)
        for _ in range(repeat):
            for c in running:
                if not (c.seconds and c.seconds[0] > SLOW):
                    c.seconds.append(timed(c.run, device)[0])
                stage.update(done := done + 1, c.method)
        stage.result = f"{repeat} rounds"
    slowest = max(statistics.median(c.seconds) for c in running)
    rows: list[Row] = []
    for c in contenders:
        if c not in running:
            needs = f"needs {c.needs / 2**30:.1f} GiB, {free / 2**30:.1f} are free"
            rows.append({"method": c.method, "skipped": needs})
            continue
        median = statistics.median(c.seconds)
        rows.append(
            {
                "method": c.method,
                "seconds": {"median": median, "min": min(c.seconds), "max": max(c.seconds)},
                "peak_bytes": c.peak,
                "speedup": slowest / median,
                **c.describe(c.result, median),
            }
        )
    return rows


def timed(call: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    gc.collect()
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


def finish(
    name: str,
    size: Row,
    rows: Sequence[Row],
    report: Reporter,
    *,
    json_file: Path | None,
    plot: Path | None,
    note: str = "",
) -> Row:
    """Prints the table, and writes the JSON and the picture where they are asked for."""
    machine = environment()
    result = {"benchmark": name, "machine": machine, "size": size, "rows": list(rows)}
    gpus = f", {machine['gpus'][0]}" if machine["gpus"] else ""
    print(f"{machine['cpu']}, {machine['threads']} threads{gpus}, torch {machine['torch']}")
    print(", ".join(f"{key} {value:,}" for key, value in size.items() if isinstance(value, int)))
    ran = [row for row in rows if "skipped" not in row]
    extra = [k for k in ran[0] if k not in ("method", "seconds", "peak_bytes", "speedup")]
    extra = list(dict.fromkeys(k for row in ran for k in row if k in extra or k not in ran[0]))
    header = ["method", "seconds", "min", "max", "peak MiB", "speed-up", *map(_title, extra)]
    report.table(
        header,
        [
            [
                row["method"],
                *(f"{row['seconds'][k]:.4g}" for k in ("median", "min", "max")),
                "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**20:.0f}",
                f"{row['speedup']:.1f}",
                *(_cell(row.get(k)) for k in extra),
            ]
            for row in ran
        ],
    )
    for row in rows:
        if "skipped" in row:
            print(f"{row['method']}: not run, {row['skipped']}")
    if note:
        print(note)
    if json_file is not None:
        with writing(json_file, "--json") as partial:
            partial.write_text(json.dumps(result, indent=2) + "\n")
        print(f"wrote {json_file}")
    if plot is not None:
        medians({row["method"]: row["seconds"] for row in ran}, plot)
        print(f"wrote {plot}")
    return result


def _title(key: str) -> str:
    return key.replace("_", " ")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}"


def set_threads(threads: int | None) -> None:
    if threads is not None:
        if threads < 1:
            raise InputError(f"--threads: expected 1 or more, found {threads}")
        torch.set_num_threads(threads)
