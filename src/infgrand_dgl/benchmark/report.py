"""A benchmark's rows as a table, JSON, Markdown and a picture."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..experiment.environment import environment
from ..present.console import Reporter
from ..present.curves import medians
from ..system.writing import writing
from .harness import Row

Result = dict[str, Any]
TITLES = {"peak_bytes": "peak MiB", "speedup": "speed-up"}


def as_result(name: str, size: Row, rows: Sequence[Row]) -> Result:
    return {"benchmark": name, "machine": environment(), "size": size, "rows": list(rows)}


def show(result: Result, report: Reporter, note: str = "") -> None:
    """Prints the machine, the size, the table, and what did not run."""
    print(machine_line(result["machine"]))
    print(_size_line(result["size"]))
    report.table(*table(result["rows"]))
    for line in [*_not_run(result["rows"]), note]:
        if line:
            print(line)


def save(result: Result, json_file: Path | None) -> None:
    if json_file is not None:
        with writing(json_file, "--json") as partial:
            partial.write_text(json.dumps(result, indent=2) + "\n")


def draw(result: Result, plot: Path) -> None:
    seconds = {_label(row): row["seconds"] for row in result["rows"] if "seconds" in row}
    medians(seconds, plot)


def save_all(results: Sequence[Result], notes: Sequence[str], out: Path) -> list[Path]:
    """All benchmarks of a machine in one JSON file, and their tables in Markdown beside it."""
    files = [out.with_name(out.name + ending) for ending in (".json", ".md")]
    everything = {"machine": results[0]["machine"], "benchmarks": list(results)}
    pieces = [machine_line(results[0]["machine"]) + "."]
    pieces += [markdown(*pair) for pair in zip(results, notes, strict=True)]
    texts = json.dumps(everything, indent=2), "\n\n".join(pieces)
    for file, text in zip(files, texts, strict=True):
        with writing(file) as partial:
            partial.write_text(text + "\n")
    return files


def markdown(result: Result, note: str = "") -> str:
    header, rows = table(result["rows"])
    rule = ["---", *["---:"] * (len(header) - 1)]
    lines = [
        f"### benchmark {result['benchmark']}\n",
        _size_line(result["size"]) + ".\n",
        *("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows)),
    ]
    remarks = [line for line in [*_not_run(result["rows"]), note] if line]
    return "\n".join(lines + ([f"\n{'; '.join(remarks)}."] if remarks else []))


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the contenders that ran, columns in the order in which rows name them."""
    ran = [row for row in rows if "skipped" not in row]
    keys = list(dict.fromkeys(key for row in ran for key in row))
    header: list[str] = []
    cells: list[list[str]] = [[] for _ in ran]
    for key in keys:
        titles = ["seconds", "min", "max"] if key == "seconds" else [TITLES.get(key, _spaced(key))]
        header += titles
        for row, into in zip(ran, cells, strict=True):
            into += _cells(key, row.get(key))
    return header, cells


def machine_line(machine: Row) -> str:
    gpus = f", {machine['gpus'][0]}" if machine["gpus"] else ""
    return f"{machine['cpu']}, {machine['threads']} threads{gpus}, torch {machine['torch']}"


def machine_name(device: torch.device) -> str:
    """A file name: the GPU that was measured, or the CPU with its threads."""
    machine = environment()
    cpu = f"{machine['cpu']} {machine['threads']} threads"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _size_line(size: Row) -> str:
    counts = [f"{_spaced(k)} {v:,}" for k, v in size.items() if isinstance(v, int)]
    return ", ".join([f"{k} {v}" for k, v in size.items() if isinstance(v, str)] + counts)


def _not_run(rows: Sequence[Row]) -> list[str]:
    return [f"{_label(row)}: not run, {row['skipped']}" for row in rows if "skipped" in row]


def _label(row: Row) -> str:
    """The method, with the batch size where rows differ in it."""
    return f"{row['method']}, batch {row['batch']}" if "batch" in row else row["method"]


def _spaced(key: str) -> str:
    return key.replace("_", " ")


def _cells(key: str, value: Any) -> list[str]:
    if key == "seconds":
        return [f"{value[k]:.4g}" for k in ("median", "min", "max")]
    if value is None:
        return [""]
    if key == "peak_bytes":
        return [f"{value / 2**20:.0f}"]
    if key == "speedup":
        return [f"{value:.1f}"]
    if isinstance(value, float):
        return [f"{value:.3g}"]
    return [f"{value:,}" if isinstance(value, int) else str(value)]
