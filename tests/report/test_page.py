"""Pages of several parts, and what they refuse."""

import json
import re

from infgrand_dgl.cli import main
from infgrand_dgl.report.content import Part, Picture, Section, Table, facts
from infgrand_dgl.report.page import render

from .conftest import checked


def test_several_parts(everything, transductive, inductive):
    page = checked(everything.read_text())
    for words in ("Contents", "Side by side", "Table 1"):
        assert words in page.text
    assert f"{transductive}|{inductive}" in page.rows()  # of one name, so by their paths
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert links == ["#part-1", "#part-2", "#part-3", "#part-4"]
    assert {link[1:] for link in links} <= set(page.attributes("id"))
    metrics = [json.loads((r / "metrics.json").read_text()) for r in (transductive, inductive)]
    message = [f"{100 * m['student']['test']['mean']:.1f} ±" for m in metrics]
    (row,) = [row for row in page.rows() if row.startswith("Student, test (%)")]
    assert all(t in cell for t, cell in zip(message, row.split("|")[1:], strict=True))
    (row,) = [row for row in page.rows() if row.startswith("MLP, test (%)")]
    assert row.count("±") == 1


def test_what_others_wrote_is_escaped():
    bad = "<script>alert('&')</script><img src=http://example.org/x.png>"
    table = Table([[bad, bad]], [bad, bad], bad)
    section = Section(bad, bad, bad, [table, facts({bad: [bad, {bad: bad}]})], listing=bad)
    picture = Picture("data:,", f'"{bad}', bad)
    parts = [Part(bad, bad, bad, [section, Section(bad, pictures=[picture])], bad)] * 2
    assert bad in checked(render(parts)).text


def test_unfit_paths(refused, tmp_path):
    message = "expected a run directory .config.yaml, metrics.json., a study .study.json"
    for path in (tmp_path / "gone", tmp_path):
        assert re.search(f"{path}: {message}", refused(path))


def test_out_is_checked_first(transductive, tmp_path, capsys):
    assert main(["report", str(transductive), "--out", str(tmp_path)]) == 2
    assert "expected the name of a file" in capsys.readouterr().err
