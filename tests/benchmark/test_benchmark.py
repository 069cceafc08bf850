import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from infgrand_dgl.benchmark import influence, propagate
from infgrand_dgl.benchmark.report import machine_name
from infgrand_dgl.cli import main
from infgrand_dgl.config.schema import DataConfig
from infgrand_dgl.data import load_source
from tests.benchmark.conftest import GRAPH, SMALL, check_rows, run
from tests.conftest import dense_adjacency

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "methods"),
    [
        ("influence", {"infgrand", "blocked", "dense", "two_hop_product"}),
        ("spmm", {"infgrand", "torch_csr", "dgl", "scipy"}),
        ("propagate", {"infgrand", "torch_csr", "dgl", "scipy"}),
    ],
)
def test_contenders_agree(name, methods, tmp_path, capsys):
    picture = tmp_path / "b.png"
    found = run(name, "--plot", str(picture), tmp_path=tmp_path)
    assert found["size"]["features"] == 9
    assert {row["method"] for row in found["rows"]} == methods
    check_rows(found["rows"])
    assert all(row.get("max_abs_difference", 0) < 3e-6 for row in found["rows"])
    assert picture.read_bytes().startswith(b"\x89PNG")
    told = capsys.readouterr().out
    assert all(method in told for method in methods) and "400" in told


def test_rates_by_hand(tmp_path):
    rows = run("influence", tmp_path=tmp_path)["rows"]
    ours, blocked = rows[0], rows[1]
    assert blocked["pairs_evaluated"] == 1
    assert ours["node_pairs_per_second"] == pytest.approx(400**2 / ours["seconds"]["median"])
    found = run("propagate", "--hops", "3", tmp_path=tmp_path)
    E, size = found["size"]["edges"], found["size"]
    moved = 3 * (36 * (E + 400) + 4 * E + 8 * 400)
    for row in found["rows"]:
        seconds = row["seconds"]["median"]
        assert row["gigabytes_per_second"] == pytest.approx(moved / seconds / 1e9)
        roof = size["roof_rows_read_once_seconds"]
        assert row["roof_share"] == pytest.approx(roof / seconds)
    assert size["roof_every_edge_read_seconds"] == pytest.approx(
        moved / size["copy_gigabytes_per_second"] / 1e9
    )
    assert size["roof_rows_read_once_seconds"] < size["roof_every_edge_read_seconds"]


def test_a_row_of_a_million(tmp_path):
    """Or of as many as there are."""
    found = run("spmm", "--hub", "1000000", tmp_path=tmp_path)
    assert found["size"]["largest_degree"] == 399
    assert all(row.get("max_abs_difference", 0) < 3e-6 for row in found["rows"])
    data = load_source(DataConfig(name="synthetic", nodes=300))
    joined = dense_adjacency(propagate.with_hub(data, 50).csr)
    expected = dense_adjacency(data.csr)
    expected[0, :51] = expected[:51, 0] = 1
    assert torch.equal(joined, expected)


def test_the_scan_of_a_large_graph_waits_to_be_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(influence, "SCANNED", 300)
    rows = run("influence", tmp_path=tmp_path)["rows"]
    assert [row["method"] for row in rows if "skipped" in row] == ["blocked"]
    assert "blocked: not run, above 300 nodes only with --blocked" in capsys.readouterr().out
    rows = run("influence", "--blocked", tmp_path=tmp_path)["rows"]
    assert not any("skipped" in row for row in rows)


def raising(error: BaseException) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        raise error

    return call


def test_out_of_memory_is_a_row(tmp_path, monkeypatch, capsys):
    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 46.00 GiB.")
    monkeypatch.setattr(propagate, "torch_hop", raising(full))
    rows = run("spmm", tmp_path=tmp_path)["rows"]
    assert [row["method"] for row in rows if "seconds" in row] == ["infgrand", "dgl", "scipy"]
    assert {"method": "torch_csr", "skipped": "out of memory"} in rows
    assert "torch_csr: not run, out of memory" in capsys.readouterr().out


def test_no_memory_for_the_graph(tmp_path, monkeypatch):
    monkeypatch.setattr(propagate, "contenders", raising(MemoryError()))
    out = tmp_path / "all"
    arguments = ["--only", "spmm", "influence", "--repeat", "1", "--out", str(out)]
    assert main(["benchmark", "all", *GRAPH, *arguments]) == 0
    (file,) = out.glob("*.json")
    spmm, other = json.loads(file.read_text())["benchmarks"]
    assert spmm["rows"] == [{"method": "graph and features", "skipped": "out of memory"}]
    assert len(other["rows"]) == 4 and "seconds" in other["rows"][0]


def test_a_failure_is_a_row_and_the_status(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(propagate, "scipy_hop", raising(ValueError("no such\nthing")))
    out = tmp_path / "b.json"
    assert main(["benchmark", "spmm", *SMALL, "--json", str(out)]) == 1
    told = {"method": "scipy", "skipped": "ValueError: no such", "failed": True}
    rows = json.loads(out.read_text())["rows"]
    assert rows[-1] == told and len(rows) == 4
    assert "scipy: not run, ValueError: no such" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["spmm", "all"])
def test_a_killed_run_leaves_its_rows(name, tmp_path, monkeypatch):
    monkeypatch.setattr(propagate, "scipy_hop", raising(KeyboardInterrupt()))
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
    ("arguments", "told"),
    [
        (["--config", "demo", "--nodes", "100"], "--nodes: not with --config"),
        (["--style", "arxive"], "data.style: expected one of citation, arxiv"),
        (["--nodes", "3"], "data.nodes: expected a number >= 10, found 3"),
        (["--threads", "0"], "--threads: expected 1 or more, found 0"),
        (["--json", "/proc/nowhere/b.json"], "--json /proc/nowhere/b.json: cannot be written"),
    ],
)
def test_bad_arguments(arguments, told, capsys):
    assert main(["benchmark", "propagate", *arguments]) == 2
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1


def test_repeat_is_positive(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["benchmark", "influence", "--repeat", "0"])
    assert stopped.value.code == 2
    assert "expected a positive integer, found '0'" in capsys.readouterr().err
