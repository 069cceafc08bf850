"""`python …` in processes forked from one that has imported the package: they begin in a tenth of a
second, where Python, torch and DGL take three. What they share with it is modules alone."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import socket
import sys
import tempfile
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from typing import Any

import torch

PRELOADED = ["infgrand_dgl.cli.commands.train", "infgrand_dgl.experiment.train"]
PRELOADED += ["infgrand_dgl.present.curves", "infgrand_dgl.studies.worker", "torch._dynamo"]


class Process:
    """`python *argv`, of a script or `-m module`, as subprocess.Popen has it."""

    def __init__(self, *argv: object, **environment: str) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self.told = tempfile.TemporaryDirectory(prefix="infgrand-dgl-test-")
        self.args = list(map(str, argv))
        given = (self.args, environment, str(Path.cwd()), self.told.name)
        self.process = context.Process(target=_run, args=given)
        self.process.start()

    def poll(self) -> int | None:
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        assert self.process.pid
        os.kill(self.process.pid, number)

    def terminate(self) -> None:
        self.process.terminate()

    def kill(self) -> None:
        self.process.kill()

    def finished(self, timeout: float | None = None) -> CompletedProcess[str]:
        """At its end."""
        self.process.join(timeout)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
            self.process.join()
            raise TimeoutExpired(self.args, timeout or 0)
        with self.told:
            out, err = (Path(self.told.name, name) for name in ("out", "err"))
            texts = [path.read_text() if path.exists() else "" for path in (out, err)]
        return CompletedProcess(self.args, code, *texts)


def _run(argv: list[str], environment: dict[str, str], folder: str, told: str) -> Any:
    """In the process."""
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(Path(told, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.chdir(folder)
    os.environ.update(environment)
    torch.set_num_threads(1)
    if argv[0] == "-m":
        sys.argv = argv[1:]
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = argv
        sys.path.insert(0, str(Path(argv[0]).parent))
        runpy.run_path(argv[0], run_name="__main__")


def python(*argv: object, timeout: float = 120, **environment: str) -> CompletedProcess[str]:
    """`python *argv`, to its end."""
    return Process(*argv, **environment).finished(timeout)


def together(*argv: object, processes: int = 2, timeout: float = 120) -> CompletedProcess[str]:
    """`torchrun --standalone *argv` without its launcher: all to their end, the first status that is
    not 0, and what they said one after the other."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    everybody = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    everybody |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(processes))
    started = [
        Process(*argv, **everybody, RANK=str(rank), LOCAL_RANK=str(rank))
        for rank in range(processes)
    ]
    done = [process.finished(timeout) for process in started]
    status = next((each.returncode for each in done if each.returncode), 0)
    texts = ("".join(texts) for texts in zip(*((d.stdout, d.stderr) for d in done), strict=True))
    return CompletedProcess(list(map(str, argv)), status, *texts)
