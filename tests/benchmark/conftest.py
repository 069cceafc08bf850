"""`infgrand-dgl benchmark` on a graph of 400 nodes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from infgrand_dgl.cli import main

GRAPH = ["--nodes", "400", "--features", "9", "--classes", "4", "--device", "cpu"]
SMALL = [*GRAPH, "--repeat", "2"]
MODELS = ["--layers", "2", "--hidden", "8"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny work is slower on two; and `--threads` ends with its test."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(name: str, *arguments: str, tmp_path: Path) -> dict[str, Any]:
    out = tmp_path / "b.json"
    assert main(["benchmark", name, *SMALL, *arguments, "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert set(found) == {"benchmark", "machine", "size", "rows"}
    assert found["benchmark"] == name and found["size"]["nodes"] == 400
    return found


def check_rows(rows: list[dict[str, Any]], alike: str = "benchmark") -> None:
    """The schema; `speedup` is over the slowest of the rows with the same value of `alike`."""
    for row in rows:
        group = [r["seconds"]["median"] for r in rows if r.get(alike) == row.get(alike)]
        seconds = row["seconds"]
        assert 0 < seconds["min"] <= seconds["median"] <= seconds["max"]
        assert row["speedup"] == pytest.approx(max(group) / seconds["median"])
        assert row["peak_bytes"] is None or row["peak_bytes"] >= 0


def bound(row):
    """Of features of about 1 in size, rounded to 8 bits before and after where they are bfloat16."""
    return 0.05 if row["method"] == "infgrand_bfloat16" else 3e-6
