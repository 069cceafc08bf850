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


def refused(capsys, tmp_path, *arguments) -> str:
    """The message of a command that ends with status 2, one line and every file as it was."""
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    status, _, err = run(capsys, *arguments)
    lines, start = err.strip().splitlines(), "infgrand-dgl: error: "
    after = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert status == 2 and len(lines) == 1 and lines[0].startswith(start), err
    assert after == before
    return lines[0].removeprefix(start)
