import pytest

from infgrand_dgl.benchmark import influence
from tests.benchmark.conftest import run


def test_rates_by_hand(tmp_path):
    rows = run("influence", tmp_path=tmp_path)["rows"]
    ours, blocked = rows[0], rows[1]
    assert blocked["pairs_evaluated"] == 1
    assert ours["node_pairs_per_second"] == pytest.approx(400**2 / ours["seconds"]["median"])


def test_the_scan_of_a_large_graph_waits_to_be_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(influence, "SCANNED", 300)
    rows = run("influence", tmp_path=tmp_path)["rows"]
    assert [row["method"] for row in rows if "skipped" in row] == ["blocked"]
    assert "blocked: not run, above 300 nodes only with --blocked" in capsys.readouterr().out
    rows = run("influence", "--blocked", tmp_path=tmp_path)["rows"]
    assert not any("skipped" in row for row in rows)
