"""Exit codes and messages of `main`, whatever the command."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.cli.commands import info

from .conftest import refused, run


def test_entry_points(tiny, tmp_path):
    """The console script and `python -m`, from another folder; errors without a traceback."""
    script = Path(sys.executable).with_name("infgrand-dgl")
    for command in ([str(script)], [sys.executable, "-m", "infgrand_dgl"]):
        done = subprocess.run(
            [*command, "train", "--config", "demmo"], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 2
        assert done.stderr == "infgrand-dgl: error: demmo: no such file; did you mean 'demo'?\n"


def raising(error):
    def run(args):
        raise error

    return run


@pytest.fixture
def command(monkeypatch):
    """`info` does something else."""

    def does(run):
        monkeypatch.setattr(info, "command", replace(info.command, run=run))

    return does


def with_note(error):
    error.add_note("to go on: more")
    return error


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (InputError("x: wrong"), 2, "error: x: wrong"),
        (with_note(InputError("x: wrong")), 2, "error: x: wrong; to go on: more"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (with_note(KeyboardInterrupt()), 130, "interrupted; to go on: more"),
        (
            OSError(28, "No space left on device", "a.npy"),
            1,
            "error: a.npy: No space left on device",
        ),
        (OSError("odd"), 1, "error: system: odd"),
    ],
)
def test_errors(error, status, message, command, capsys):
    command(raising(error))
    assert run(capsys, "info") == (status, "", f"infgrand-dgl: {message}\n")


@pytest.mark.parametrize(("result", "status"), [(None, 0), (0, 0), (1, 1)])
def test_status_of_the_command(result, status, command, capsys):
    command(lambda args: result)
    assert run(capsys, "info") == (status, "", "")


@pytest.mark.parametrize(
    ("processes", "reason"), [("1", ""), ("2", ", as when another process of this run has failed")]
)
def test_terminated(processes, reason, command, capsys, monkeypatch):
    """The handler of SIGTERM is that of before once the command has ended."""
    monkeypatch.setenv("WORLD_SIZE", processes)
    before = signal.getsignal(signal.SIGTERM)
    command(lambda args: os.kill(os.getpid(), signal.SIGTERM))
    assert run(capsys, "info") == (143, "", f"infgrand-dgl: terminated{reason}\n")
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("number", "status", "message"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
@pytest.mark.parametrize("becomes", [InputError, RuntimeError, OSError, KeyboardInterrupt])
def test_a_signal_that_a_library_makes_another_error_of(
    becomes, number, status, message, command, capsys
):
    """As ogb does while it downloads."""

    def library(args):
        try:
            os.kill(os.getpid(), number)
        except:  # noqa: E722
            raise becomes("Stopped downloading due to interruption.") from None

    command(library)
    assert run(capsys, "info") == (status, "", f"infgrand-dgl: {message}\n")


def test_the_exit_status_is_130_wherever_the_signal_came():
    code = """
import sys
from dataclasses import replace
from infgrand_dgl.cli import main
from infgrand_dgl.cli.commands import info
work = lambda args: exec("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
info.command = replace(info.command, run=work)
sys.exit(main(["info"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "infgrand-dgl: interrupted\n")


def test_an_ignored_interrupt_stays_ignored(command, capsys):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        command(lambda args: os.kill(os.getpid(), signal.SIGINT))
        assert run(capsys, "info") == (0, "", "")
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_broken_plugin(capsys, monkeypatch):
    """What does not look for it goes on."""

    def load_plugins():
        raise InputError("infgrand_dgl.plugins: toy cannot be loaded")

    monkeypatch.setattr("infgrand_dgl.registry.load_plugins", load_plugins)
    message = "infgrand-dgl: error: infgrand_dgl.plugins: toy cannot be loaded\n"
    assert run(capsys, "study", "table1", "--out", "x") == (2, "", message)
    assert run(capsys, "data", "list") == (2, "", message)
    assert run(capsys, "--help")[0] == 0 and run(capsys, "info")[0] == 0


def test_the_command_as_typed(command, capsys):
    command(lambda args: print(args.command))
    assert run(capsys, "info", "--verbose")[1] == "infgrand-dgl info --verbose\n"


def test_missing_config(tmp_path, capsys):
    for name in ("train", "influence"):
        command = (name, "--config", tmp_path / "gone.yaml", "--out", tmp_path / "r")
        assert "gone.yaml: no such file" in refused(capsys, tmp_path, *command)


def test_unwritable_output(tiny, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for name in ("train", "influence"):
        command = (name, "--config", tiny, "--out", tmp_path / "file" / "r")
        message = f"--out {tmp_path}/file/r: cannot be written"
        assert message in refused(capsys, tmp_path, *command)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu(tiny, tmp_path, capsys):
    for name in ("train", "influence"):
        command = (name, "--config", tiny, "--device", "cuda", "--out", tmp_path / "r")
        assert "train.device: cuda is not available" in refused(capsys, tmp_path, *command)


def test_closed_pipe_is_no_error(tiny):
    done = subprocess.run(
        f"set -o pipefail; {sys.executable} -m infgrand_dgl data describe --config {tiny} | :",
        shell=True, executable="/bin/bash", capture_output=True, text=True,
    )  # fmt: skip
    assert done.stderr == ""


def test_terminal_shows_progress(tiny, tmp_path):
    """Under a pseudo-terminal a bar is drawn, and the table has a frame."""
    import pty

    main_end, other_end = pty.openpty()
    arguments = ["train", "--config", str(tiny), "--out", str(tmp_path / "r")]
    command = [sys.executable, "-m", "infgrand_dgl", *arguments]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    process = subprocess.Popen(command, stdout=other_end, stderr=other_end, env=environment)
    os.close(other_end)
    seen = b""
    while True:
        try:
            part = os.read(main_end, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    assert process.wait() == 0
    text = seen.decode()
    assert "━" in text and "InfGraND student" in text and "5/5" in text
