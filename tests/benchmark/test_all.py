import json

import pytest
import torch

from infgrand_dgl.benchmark import inference
from infgrand_dgl.benchmark.command import BENCHMARKS
from infgrand_dgl.benchmark.report import machine_name
from infgrand_dgl.cli import main
from tests.benchmark.conftest import GRAPH, MODELS, check_rows

ALIKE = {"inference": "batch", "train": "epochs"}


def test_all_in_one_file_and_one_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(inference, "ROUND", 0.0005)
    few = ["--repeat", "1", "--set", "train.epochs=2"]
    assert main(["benchmark", "all", *GRAPH, *MODELS, *few, "--out", str(tmp_path)]) == 0
    name = machine_name(torch.device("cpu"))
    assert name.endswith("-1-threads")
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.json", f"{name}.md"}
    found = json.loads((tmp_path / f"{name}.json").read_text())
    assert [b["benchmark"] for b in found["benchmarks"]] == list(BENCHMARKS)
    for benchmark in found["benchmarks"]:
        assert set(benchmark) == {"benchmark", "machine", "size", "rows"}
        check_rows(benchmark["rows"], ALIKE.get(benchmark["benchmark"], "benchmark"))
    table = (tmp_path / f"{name}.md").read_text()
    assert all(f"### benchmark {name}" in table for name in BENCHMARKS)
    assert "| two_hop_product |" in table and "random weights" in table
    for block in table.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1
    assert "wrote" in capsys.readouterr().out


def test_some(tmp_path):
    only = ["--only", "propagate", "--hops", "3", "--repeat", "1"]
    assert main(["benchmark", "all", *GRAPH, *only, "--out", str(tmp_path / "new")]) == 0
    (file,) = (tmp_path / "new").glob("*.json")
    (found,) = json.loads(file.read_text())["benchmarks"]
    assert found["benchmark"] == "propagate" and found["size"]["hops"] == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--out", "/proc/nowhere"], "--out /proc/nowhere/"),
        (["--hidden", "6"], "6 is not divisible by heads: 4"),
        (["--threads", "-1"], "--threads: expected 1 or more, found -1"),
    ],
)
def test_bad_arguments(arguments, told, capsys):
    assert main(["benchmark", "all", *GRAPH, *arguments]) == 2
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1
