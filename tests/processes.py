"""`python …` in processes forked from one that has imported the package: they begin in a tenth of a
second, where Python, torch and DGL take three. What they share with it is modules alone."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import socket
import sys
import tempfile
import time
from multiprocessing.connection import wait
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired

import torch

# Without effect where a study has started the server before: its children then import the rest.
PRELOADED = ["infgrand_dgl.cli.commands.train", "infgrand_dgl.experiment.train"]
PRELOADED += ["infgrand_dgl.present.curves", "infgrand_dgl.studies.worker", "torch._dynamo"]
SECONDS = 120


class Process:
    """`python *argv`, of a script or `-m module`, with the environment of the caller and more.

    What a failed test leaves is killed at its end (`tests/conftest.py`).
    """

    def __init__(self, *argv: object, **more: str) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self.told = tempfile.TemporaryDirectory(prefix="infgrand-dgl-test-")
        self.args = list(map(str, argv))
        given = (self.args, dict(os.environ) | more, str(Path.cwd()), self.told.name)
        self.process = context.Process(target=_run, args=given)
        self.process.start()

    def poll(self) -> int | None:
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        assert self.process.pid
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.process.kill()

    def finished(self) -> CompletedProcess[str]:
        """At its end."""
        self.process.join(SECONDS)
        if late := self.poll() is None:
            self.kill()
            self.process.join()
        with self.told:
            files = (Path(self.told.name, name) for name in ("out", "err"))
            out, err = (file.read_text() if file.exists() else "" for file in files)
        if late:
            raise TimeoutExpired(self.args, SECONDS, out, err)
        return CompletedProcess(self.args, self.process.exitcode or 0, out, err)


def _run(argv: list[str], environment: dict[str, str], folder: str, told: str) -> None:
    """In the process."""
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(Path(told, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)
    if argv[0] == "-m":
        sys.argv = argv[1:]
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = argv
        sys.path.insert(0, str(Path(argv[0]).parent))
        runpy.run_path(argv[0], run_name="__main__")


def together(*argv: object) -> CompletedProcess[str]:
    """`torchrun --standalone --nproc-per-node=2 *argv` without its launcher: where one fails the
    other is killed. The status of the first that failed, what they said one after the other."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    everybody = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    everybody |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), "2")
    ranks = [Process(*argv, **everybody, RANK=rank, LOCAL_RANK=rank) for rank in "01"]
    end, failed = time.monotonic() + SECONDS, 0
    while not failed and time.monotonic() < end and any(rank.poll() is None for rank in ranks):
        wait([rank.process.sentinel for rank in ranks if rank.poll() is None], 1)
        failed = next((code for rank in ranks if (code := rank.poll())), 0)
    for rank in ranks:
        rank.kill()
    done = [rank.finished() for rank in ranks]
    status = failed or next((each.returncode for each in done if each.returncode), 0)
    texts = ("".join(texts) for texts in zip(*((d.stdout, d.stderr) for d in done), strict=True))
    return CompletedProcess(list(map(str, argv)), status, *texts)
