"""What the page holds: tests/report."""

from ..conftest import refused, run


def test_report(trained, tmp_path, capsys):
    out = tmp_path / "report.html"
    assert run(capsys, "report", trained, "--out", out, "-q") == (0, f"wrote {out}\n", "")
    assert out.read_text().startswith("<!doctype html>")


def test_no_run(tmp_path, capsys):
    message = "gone: expected a run directory (config.yaml, metrics.json), a study"
    command = ("report", tmp_path / "gone", "--out", tmp_path / "r.html")
    assert message in refused(capsys, tmp_path, *command)
