"""Steps of the GPU check: each a process with a limit of time; after each, the report anew."""

import argparse
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
START = time.monotonic()
LIMIT = 16 << 20  # bytes of the report
BUDGET = 600  # seconds of everything
SLOWER = {"cuda": 1, "cpu": 6}  # what a rehearsal may take of all times


class Stopped(BaseException):
    """A signal came."""

    def __init__(self, number: int) -> None:
        self.number = number


class Steps:
    """One after the other, and what they left."""

    def __init__(self, args: argparse.Namespace, machine: dict[str, Any], scratch: Path) -> None:
        self.args, self.machine, self.scratch = args, machine, scratch
        self.report = Path(args.report).resolve()
        self.results, self.log = scratch / "results", scratch / "log.txt"
        self.slower = SLOWER[args.device]
        self.last = START + self.slower * BUDGET
        self.steps: list[dict[str, Any]] = []
        self.running: list[subprocess.Popen[bytes]] = []
        self.preparing: dict[str, subprocess.Popen[bytes]] = {}
        for folder in (self.results, scratch / "tmp"):
            folder.mkdir()
        self.log.touch()
        paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(scratch / "tmp"),
        }
        if args.device == "cuda":  # no nvcc is an error
            self.environment |= {"INFGRAND_DGL_CUDA": "1"}
            self.environment.setdefault("INFGRAND_DGL_CUDA_ARCH", machine["architecture"])

    def step(self, name: str, limit: int, *command: str, log: Path | None = None) -> bool:
        """Runs it for so long at most, and within what is left; whether it went well."""
        if not (limit := self.allowed(name, limit)):
            return False
        start, process = time.monotonic(), self.begin(name, command, log or self.log)
        return self.finish(name, process, start, limit)

    def together(self, limit: int, **commands: list[str]) -> None:
        """Steps that time nothing, all at once, each with a log of its own until all have ended."""
        limits = {name: self.allowed(name, limit) for name in commands}
        start, logs = time.monotonic(), {name: self.scratch / f"{name}.log" for name in commands}
        processes = {n: self.begin(n, commands[n], logs[n]) for n in commands if limits[n]}
        try:
            for name, process in processes.items():
                self.finish(name, process, start, limits[name])
        finally:
            for name in processes:
                self.log_text(logs[name].read_text(errors="replace"))

    def allowed(self, name: str, limit: int) -> int:
        """Seconds that a step may take; none: it is not run."""
        left, limit = self.last - time.monotonic(), self.slower * limit
        if left < min(10, limit):
            self.record(name, "not run", "for want of time")
            return 0
        return min(limit, int(left))

    def begin(self, name: str, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as out:
            out.write(f"\n== {name}: {' '.join(command)}\n".encode())
            out.flush()
            process = self.spawn(list(command), out)
        self.running.append(process)
        return process

    def finish(self, name: str, process: subprocess.Popen[bytes], start: float, limit: int) -> bool:
        """Waits until so long after the start; whether it went well."""
        try:
            status = process.wait(max(0, start + limit - time.monotonic()))
            ended = ("failed", f"with status {status}") if status else ("done", "")
        except subprocess.TimeoutExpired:
            ended = ("ended", f"after {limit} s")
        except Stopped:
            self.record(name, "ended", "by the signal", time.monotonic() - start)
            raise
        finally:
            kill(process)
            self.running.remove(process)
        self.record(name, *ended, time.monotonic() - start)
        return ended[0] == "done"

    def spawn(self, command: list[str], out: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=ROOT,
            env=self.environment, start_new_session=True,
        )  # fmt: skip

    def record(self, name: str, status: str, why: str = "", seconds: float = 0.0) -> None:
        """Of a step: "done", "failed", "ended" before its time, or "not run"."""
        row = {"step": name, "status": status, "why": why, "seconds": round(seconds, 2)}
        self.steps.append(row)
        self.say(f"{name}: {status}{why and f' {why}'}{f', {seconds:.0f} s' if seconds else ''}")
        self.write()

    def names(self, *statuses: str) -> list[str]:
        return [row["step"] for row in self.steps if row["status"] in statuses]

    def say(self, text: str) -> None:
        print(f"gpu-check: {text}", flush=True)
        self.log_text(f"gpu-check: {text}\n")

    def log_text(self, text: str) -> None:
        with self.log.open("a") as log:
            log.write(text)

    # The report

    def end(self) -> None:
        for process in list(self.running):
            kill(process)
        build = self.scratch / "build.log"
        if "build" in self.names("failed", "ended"):
            print(*build.read_text().splitlines()[-20:], sep="\n", file=sys.stderr)
        groups = (self.names("failed"), self.names("ended", "not run"))
        lists = (", ".join(names) or "none" for names in groups)
        self.say("{:.0f} s; failed: {}; unfinished: {}; {}".format(
            time.monotonic() - START, *lists, self.report / "summary.json"))  # fmt: skip
        self.write()

    def write(self) -> None:
        """Both files anew, each whole or not at all."""
        results, left_out, room = {}, [], LIMIT // 4
        files = []
        for path in sorted(self.results.rglob("*"), key=lambda path: path.stat().st_size):
            if not path.is_file():
                continue
            room -= path.stat().st_size
            if room < 0:
                left_out.append(path.name)
                continue
            files.append(path)
            if path.suffix == ".json":
                key = path.stem if path.parent == self.results else path.parent.name
                with suppress(ValueError):  # half written by a step that was ended
                    results[key] = json.loads(path.read_text())
        summary = {
            "machine": self.machine,
            "device": self.args.device,
            "shrink": self.args.shrink,
            "only": self.args.only,
            "seconds": round(time.monotonic() - START, 2),
            "steps": self.steps,
            "failed": self.names("failed"),
            "unfinished": self.names("ended", "not run"),
            "left_out": left_out,
            "results": results,
        }
        texts = [self.log, self.scratch / "build.log", self.scratch / "prepare.log"]
        archive, text = (self.report / f".{name}.partial" for name in ("report.tar", "summary"))
        with tarfile.open(archive, "w") as tar:
            for path in texts:
                if path.exists():
                    cut(path, LIMIT // 8)
                    tar.add(path, path.name)
            for path in files:
                tar.add(path, path.relative_to(self.scratch))
        text.write_text(json.dumps(summary, ensure_ascii=False) + "\n")
        archive.replace(self.report / "report.tar")
        text.replace(self.report / "summary.json")


def kill(process: subprocess.Popen[bytes]) -> None:
    """Ends what is left of a step, with all that it started."""
    # pytest names at SIGINT what has failed so far.
    for number, seconds in ((signal.SIGINT, 5), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def cut(path: Path, limit: int) -> None:
    """Leaves out the middle of a log that is too long."""
    size = path.stat().st_size
    if size > limit:
        text = path.read_bytes()
        note = f"\n... {size - limit} bytes left out ...\n".encode()
        path.write_bytes(text[: limit // 4] + note + text[size - limit * 3 // 4 + len(note) :])
