"""Commands in this process."""

import shutil
from pathlib import Path

import pytest
import yaml

from infgrand_dgl.cli import main

from ..conftest import TINY


def run(capsys, *arguments):
    """Exit status, standard output and standard error of a command in this process."""
    status: object
    try:
        status = main([str(a) for a in arguments])
    except SystemExit as end:  # argparse
        status = end.code
    out = capsys.readouterr()
    return status, out.out, out.err


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    config = folder / "tiny.yaml"
    config.write_text(yaml.safe_dump(TINY))
    assert main(["train", "-q", "--config", str(config), "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def trained(trained_once, tmp_path) -> Path:
    """A run of `tiny`, of this test's own."""
    return Path(shutil.copytree(trained_once, tmp_path / "run"))


def refused(capsys, tmp_path, *arguments) -> str:
    """The message of a command that ends with status 2, one line and every file as it was."""
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    status, _, err = run(capsys, *arguments)
    lines, start = err.strip().splitlines(), "infgrand-dgl: error: "
    after = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert status == 2 and len(lines) == 1 and lines[0].startswith(start), err
    assert after == before
    return lines[0].removeprefix(start)
