import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from infgrand_dgl.benchmark import command, hops, inference, serve
from infgrand_dgl.benchmark.benchmark import Benchmark, positive
from infgrand_dgl.benchmark.command import BENCHMARKS
from infgrand_dgl.benchmark.harness import Contender
from infgrand_dgl.benchmark.report import machine_name
from infgrand_dgl.cli import main
from tests.benchmark.conftest import GRAPH, MODELS, SMALL, bound, check_rows, run

CPU = torch.device("cpu")
ALIKE = {"inference": "batch", "serve": "clients", "train": "epochs"}


@pytest.mark.parametrize(
    ("name", "methods"),
    [
        ("influence", {"infgrand", "blocked", "dense", "two_hop_product"}),
        ("spmm", {"infgrand", "torch_csr", "dgl", "scipy", "infgrand_bfloat16"}),
        ("propagate", {"infgrand", "torch_csr", "dgl", "scipy", "infgrand_bfloat16"}),
    ],
)
def test_contenders_agree(name, methods, tmp_path, capsys):
    picture = tmp_path / "b.png"
    found = run(name, "--plot", str(picture), tmp_path=tmp_path)
    assert found["size"]["features"] == 9
    assert {row["method"] for row in found["rows"]} == methods
    check_rows(found["rows"])
    assert all(row.get("max_abs_difference", 0) < bound(row) for row in found["rows"])
    assert picture.read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert all(method in out for method in methods) and "400" in out


def test_every_file_of_the_catalog_is_a_command(capsys):
    files = (Path(command.__file__).parent / "catalog").glob("[a-z]*.py")
    assert {file.stem for file in files} == set(BENCHMARKS)
    for name, benchmark in BENCHMARKS.items():
        assert benchmark.name == name
        with pytest.raises(SystemExit):
            main(["benchmark", name, "--help"])
        usage = capsys.readouterr().out
        assert all(f"{flag} " in usage or f"{flag}]" in usage for flag in benchmark.options)


def test_a_benchmark_is_one_object(tmp_path, monkeypatch, capsys):
    """Its options, its settings, its size, its note and its contenders."""
    seen = []

    def contenders(task, size):
        seen.append((task.args.laps, size["laps"], task.config.student.dropout))
        return [Contender("nothing")]

    toy = Benchmark(
        "spmm",  # in its place
        about="nothing at all",
        place=0,
        defaults={"data.nodes": 90},
        contenders=contenders,
        options={"--laps": {"type": positive, "default": 3}, "--dropout": {"type": float}},
        settings={"student.dropout": "dropout"},
        change=lambda dataset, args: hops.with_hub(dataset, 5),
        size=lambda task: {"laps": task.args.laps},
        note=lambda size: f"{size['laps']} laps",
    )
    monkeypatch.setitem(command.BENCHMARKS, "spmm", toy)
    found = run("spmm", "--dropout", "0.25", tmp_path=tmp_path)
    assert seen == [(3, 3, 0.25)] and found["size"]["laps"] == 3
    assert [row["method"] for row in found["rows"]] == ["nothing"]
    assert "\n3 laps\n" in capsys.readouterr().out


def test_the_command_line_imports_nothing_heavy():
    code = """
import sys
from infgrand_dgl.cli import main
try:
    main(["benchmark", "--help"])
finally:
    print({"torch", "numpy", "pydantic"} & set(sys.modules), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "set()\n"
    assert "all pairs of nodes" in " ".join(done.stdout.split())


def test_all_in_one_file_and_one_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(inference, "ROUND", 0.0005)
    monkeypatch.setattr(serve, "ROUND", 0.05)
    monkeypatch.setattr(serve, "CALLS", 10)
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


def raising(error: BaseException) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        raise error

    return call


def test_out_of_memory_is_a_row(tmp_path, monkeypatch, capsys):
    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 46.00 GiB.")
    monkeypatch.setattr(hops, "torch_hop", raising(full))
    rows = run("spmm", tmp_path=tmp_path)["rows"]
    assert [row["method"] for row in rows if "seconds" in row] == [
        "infgrand",
        "dgl",
        "scipy",
        "infgrand_bfloat16",
    ]
    assert {"method": "torch_csr", "skipped": "out of memory"} in rows
    assert "torch_csr: not run, out of memory" in capsys.readouterr().out


def test_no_memory_for_the_graph(tmp_path, monkeypatch):
    monkeypatch.setattr(hops, "contenders", raising(MemoryError()))
    out = tmp_path / "all"
    arguments = ["--only", "spmm", "influence", "--repeat", "1", "--out", str(out)]
    assert main(["benchmark", "all", *GRAPH, *arguments]) == 0
    (file,) = out.glob("*.json")
    spmm, other = json.loads(file.read_text())["benchmarks"]
    assert spmm["rows"] == [{"method": "graph and features", "skipped": "out of memory"}]
    assert len(other["rows"]) == 4 and "seconds" in other["rows"][0]


def test_a_failure_is_a_row_and_the_status(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(hops, "scipy_hop", raising(ValueError("no such\nthing")))
    out = tmp_path / "b.json"
    assert main(["benchmark", "spmm", *SMALL, "--json", str(out)]) == 1
    scipy = {"method": "scipy", "skipped": "ValueError: no such", "failed": True}
    rows = json.loads(out.read_text())["rows"]
    assert scipy in rows and len(rows) == 5
    assert "scipy: not run, ValueError: no such" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["spmm", "all"])
def test_a_killed_run_leaves_its_rows(name, tmp_path, monkeypatch):
    monkeypatch.setattr(hops, "scipy_hop", raising(KeyboardInterrupt()))
    file = tmp_path / "b.json"
    arguments = ["--json", str(file)]
    if name == "all":
        arguments = ["--only", "distill", "spmm", "--out", str(tmp_path)]
        file = tmp_path / f"{machine_name(CPU)}.json"
    assert main(["benchmark", name, *SMALL, *arguments]) == 130
    found = json.loads(file.read_text())
    if name == "all":
        assert [b["benchmark"] for b in found["benchmarks"]] == ["distill", "spmm"]
        found = found["benchmarks"][1]
    assert [row["method"] for row in found["rows"]] == ["infgrand", "torch_csr", "dgl"]
    check_rows(found["rows"])
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "demo", "--nodes", "100"], "--nodes: not with --config"),
        (["--style", "arxive"], "data.style: expected one of citation, arxiv"),
        (["--nodes", "3"], "data.nodes: expected a number >= 10, found 3"),
        (["--threads", "0"], "--threads: expected 1 or more, found 0"),
        (["--json", "/proc/nowhere/b.json"], "--json /proc/nowhere/b.json: cannot be written"),
    ],
)
def test_bad_arguments(arguments, message, capsys):
    assert main(["benchmark", "propagate", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


def test_repeat_is_positive(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["benchmark", "influence", "--repeat", "0"])
    assert stopped.value.code == 2
    assert "expected a positive integer, found '0'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "/proc/nowhere"], "--out /proc/nowhere/"),
        (["--hidden", "6"], "6 is not divisible by heads: 4"),
        (["--threads", "-1"], "--threads: expected 1 or more, found -1"),
    ],
)
def test_bad_arguments_of_all(arguments, message, capsys):
    assert main(["benchmark", "all", *GRAPH, *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
