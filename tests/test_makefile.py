"""Which Python `make` takes, of stand-ins that say another version than theirs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def make(tmp_path):
    """Runs make where these interpreters are on the PATH, each of a version or broken."""

    def run(versions, *arguments):
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, version in versions.items():
            says = f'exec {sys.executable} -c "import sys; sys.version_info = {version}; $2"'
            script = folder / name
            script.write_text("#!/bin/sh\n" + (says if version else "exit 127") + "\n")
            script.chmod(0o755)
        for tool in ("make", "sh", "echo"):
            path = next(p for d in os.get_exec_path() if (p := Path(d) / tool).exists())
            (folder / tool).symlink_to(path)
        command = ["make", "-s", "-f", str(ROOT / "Makefile"), f"VENV={tmp_path}/venv", *arguments]
        environment = {
            k: v for k, v in os.environ.items() if k not in ("PYTHON", "MAKEFLAGS", "MAKELEVEL")
        }
        return subprocess.run(
            command,
            env={**environment, "PATH": str(folder)},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )

    return run


SHOW = ("--eval", "show: ; @echo $(PYTHON)", "show")
V11, V12, V13, V10 = ((3, minor, 4) for minor in (11, 12, 13, 10))


@pytest.mark.parametrize(
    ("versions", "taken"),
    [
        ({"python3": V11}, "python3"),
        ({"python3": V12, "python3.11": V11}, "python3"),
        ({"python3": V13, "python3.12": V12, "python3.11": V11}, "python3.12"),
        ({"python3": V13, "python3.12": None, "python3.11": V11}, "python3.11"),
        ({"python3": V10, "python3.11": V11}, "python3.11"),
        ({"python3.12": V12}, "python3.12"),
    ],
)
def test_the_first_that_dgl_has_wheels_for(versions, taken, make):
    done = make(versions, *SHOW)
    assert (done.stdout, done.stderr, done.returncode) == (f"{taken}\n", "", 0)


def test_the_one_that_was_asked_for(make):
    done = make({"python3": V12, "python3.11": V11}, "PYTHON=python3.11", *SHOW)
    assert done.stdout == "python3.11\n"


def test_none(make, tmp_path):
    """One line says which to take, and nothing is installed."""
    done = make({"python3": V13, "python3.12": None}, f"{tmp_path}/venv/.installed")
    message, end = done.stderr.splitlines()
    assert message == (
        "Python 3.12 or 3.11 is needed, as DGL has wheels for no later one; found 3.13: "
        "install python3.12, or make PYTHON=path/to/python3.12"
    )
    assert "make: ***" in end and done.returncode == 2 and not (tmp_path / "venv").exists()
