from functools import partial

import pytest
import torch

from infgrand_dgl.benchmark.harness import Contender, copy_bandwidth, measure, resident
from infgrand_dgl.cli import main
from infgrand_dgl.console import Reporter
from tests.benchmark.conftest import check_rows, run

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
    ours = found["rows"][0]
    rate = moved / ours["seconds"]["median"] / 1e9
    assert ours["gigabytes_per_second"] == pytest.approx(rate)
    assert size["roof_every_edge_read_seconds"] == pytest.approx(
        moved / size["copy_gigabytes_per_second"] / 1e9
    )
    assert size["roof_rows_read_once_seconds"] < size["roof_every_edge_read_seconds"]


def test_contenders_take_turns_and_the_unaffordable_is_skipped():
    calls: list[str] = []
    three = [Contender(name, partial(calls.append, name)) for name in "ab"]
    three.append(Contender("c", lambda: calls.append("c"), needs=1 << 62))
    rows = measure(three, 3, CPU, Reporter(quiet=True))
    assert calls == ["a", "b"] * 4  # once to warm up
    assert rows[2]["method"] == "c" and "needs 4294967296.0 GiB" in rows[2]["skipped"]


def test_contenders_alike_are_compared_and_may_time_themselves():
    columns = [{"batch": 1}, {"batch": 1}, {"batch": 2}, {"batch": 2}]
    laps = [[1.0, 2.0, 3.0], [8.0], [5.0], []]
    four = [
        Contender(name, partial(laps.__getitem__, i), columns=columns[i], laps=True)
        for i, name in enumerate("abcd")
    ]
    four[3].missing = "no such thing here"
    a, b, c, d = measure(four, 1, CPU, Reporter(quiet=True))
    assert a["seconds"] == {"median": 2, "min": 1, "max": 3}
    assert (a["speedup"], b["speedup"], c["speedup"]) == (4, 1, 1)
    assert d == {"method": "d", "batch": 2, "skipped": "no such thing here"}


@pytest.mark.skipif(resident(CPU) is None, reason="reads /proc")
def test_peak_memory_is_that_of_the_call():
    def hungry() -> None:
        torch.ones(50 << 20, dtype=torch.uint8)

    (row,) = measure([Contender("hungry", hungry)], 1, CPU, Reporter(quiet=True))
    assert 45 << 20 < row["peak_bytes"] < 80 << 20


def test_copy_bandwidth():
    assert 1e8 < copy_bandwidth(CPU, megabytes=4) < 1e13


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
