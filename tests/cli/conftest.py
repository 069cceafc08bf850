"""Commands in this process."""

from pathlib import Path

import pytest

from infgrand_dgl.cli import main


def run(capsys, *arguments):
    """Exit status, standard output and standard error of a command in this process."""
    status: object
    try:
        status = main([str(a) for a in arguments])
    except SystemExit as end:  # argparse
        status = end.code
    out = capsys.readouterr()
    return status, out.out, out.err


@pytest.fixture
def trained(tiny, tmp_path, capsys) -> Path:
    out = tmp_path / "run"
    assert run(capsys, "train", "--config", tiny, "--out", out)[0] == 0
    return out


def fails(capsys, tmp_path, *arguments, message):
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    status, _, err = run(capsys, *arguments)
    assert status == 2
    lines = err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("infgrand-dgl: error: "), err
    assert message in lines[0]
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
