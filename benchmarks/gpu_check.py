"""gpu_check.py REPORT: builds, checks and measures on a machine with a GPU, in seven minutes.

It takes the Python that runs it, without virtual environment or network: torch, DGL and the rest
come from there or from PYTHONPATH. After every step it writes REPORT/summary.json (the machine, the
steps, the figures of every benchmark) and REPORT/report.tar (logs and figures), 16 MB at most in
all; everything else lies in a temporary folder that is gone at the end, however it ends.

`--only OP` builds what is not built, checks that op and runs its benchmark, in a minute.
`--device cpu --shrink 100` rehearses all of it without a GPU on graphs of a hundredth.
"""

import argparse
import importlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import types
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
START = time.monotonic()
LIMIT = 16 << 20  # bytes of the report
BUDGET, BUDGET_OF_ONE = 420, 60  # seconds: of everything; of one op, the build aside
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SLOWER = {"cuda": 1, "cpu": 6}  # what a rehearsal may take of all times
ARXIV, PRODUCTS, REDDIT = 169_343, 2_449_029, 232_965  # nodes

# Which benchmark has an op's figures.
BENCHMARKS = {"spmm": "spmm", "propagate": "propagate", "edge_dot": "distill", "gat": "train",
              "min_cosine": "influence"}  # fmt: skip

# Wheels by the modules that must be there, with the version that is needed.
WHEELS = {
    "torch": "torch>=2.10",
    "setuptools": "setuptools>=77",
    "numpy": "numpy>=2",
    "dgl": "dgl==2.1.0",
    "pydantic": "pydantic>=2.8",
    "pydantic_core": "pydantic_core",
    "annotated_types": "annotated-types",
    "typing_inspection": "typing-inspection",
    "typing_extensions": "typing_extensions",
    **{name: name for name in ("scipy", "pandas", "packaging", "rich", "matplotlib")},
    **{name: name for name in ("safetensors", "jinja2", "networkx", "requests", "tqdm", "psutil")},
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "markdown_it": "markdown-it-py",
    "pytest": "pytest",
}


class Stopped(BaseException):
    """A signal came."""

    def __init__(self, number: int) -> None:
        self.number = number


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", metavar="REPORT", help="folder of the two files")
    parser.add_argument("--only", choices=BENCHMARKS, metavar="OP", help=", ".join(BENCHMARKS))
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--shrink", type=int, default=1, metavar="N", help="divides the nodes")
    parser.add_argument("--probe", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.probe:
        print(json.dumps(probe(args.device)))
        return 0
    if not args.report:
        return refuse("expected a folder for the report: make gpu-check REPORT=dir")
    looked = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], "--probe"], capture_output=True, text=True
    )
    if looked.returncode != 0:
        return refuse(*looked.stderr.splitlines()[-1:])
    found = json.loads(looked.stdout.splitlines()[-1])
    if found["problems"]:
        return refuse(*found["problems"])
    try:
        Path(args.report).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return refuse(f"REPORT: {error}")
    for number in SIGNALS:
        signal.signal(number, stop)
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as scratch:
        check = Check(args, found["machine"], Path(scratch))
        try:
            built = check.run()
        except Stopped as stopped:
            return 128 + stopped.number
        finally:
            check.end()
        return 0 if built and not check.names("failed") else 1


def refuse(*problems: str) -> int:
    print(*(f"gpu-check: {problem}" for problem in problems), sep="\n", file=sys.stderr)
    return 1


def stop(number: int, _: object) -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Stopped(number)


def probe(device: str) -> dict[str, Any]:
    """What this Python lacks, all at once, and the machine."""
    problems, missing = [], []
    # As in infgrand_dgl.graph.dgl_bridge: graphbolt's library for this torch may be missing.
    sys.modules.setdefault("dgl.graphbolt", types.ModuleType("dgl.graphbolt"))
    os.environ.setdefault("DGLBACKEND", "pytorch")
    for name, wheel in WHEELS.items():
        if importlib.util.find_spec(name) is None:
            missing.append(wheel)
    for name, wheel in WHEELS.items():
        if wheel in missing or (missing and name == "dgl"):
            continue
        try:
            module = importlib.import_module(name)
        except Exception as error:
            problems.append(f"{name} cannot be imported: {(str(error).splitlines() or [''])[0]}")
            continue
        if ">=" in wheel:
            least, version = wheel.split(">=")[1], module.__version__
            if version_key(version) < version_key(least):
                problems.append(f"{name} {version} is too old; {least} is needed")
    if missing:
        problems.append(
            f"{sys.executable} finds no {', '.join(missing)}; PYTHONPATH can name their folder "
            f'(docs/kernels.md, "On a machine with a GPU", says how to take them along)'
        )
    if not shutil.which(os.environ.get("CXX", "g++")):
        problems.append("no g++, and CXX names no other compiler")
    if device == "cuda" and not cuda_tool("nvcc"):
        problems.append("no nvcc in CUDA_HOME, on the PATH or in /usr/local/cuda")
    machine: dict[str, Any] = {"python": sys.version.split()[0], "card": None, "driver": None}
    if "torch>=2.10" not in missing:
        import torch

        machine |= {"torch": torch.__version__, "cuda": torch.version.cuda}
        if device == "cuda" and not torch.cuda.is_available():
            problems.append(f"no GPU: torch {torch.__version__} of {sys.executable} finds none")
        elif device == "cuda":
            major, minor = torch.cuda.get_device_capability()
            machine["card"] = torch.cuda.get_device_name()
            machine["memory_bytes"] = torch.cuda.get_device_properties(0).total_memory
            # Hopper and later have instructions of their own, which no later card knows.
            machine["architecture"] = f"{major}{minor}{'a' if major >= 9 else ''}"
            with suppress(OSError):
                machine["driver"] = Path("/proc/driver/nvidia/version").read_text().split("\n")[0]
    return {"problems": problems, "machine": machine}


def version_key(version: str) -> list[int]:
    return [int(part) for part in version.split("+")[0].split(".")[:2]]


def cuda_tool(name: str) -> str | None:
    homes = [os.environ[k] for k in ("CUDA_HOME", "CUDA_PATH") if k in os.environ]
    candidates = [*(f"{home}/bin/{name}" for home in homes), name, f"/usr/local/cuda/bin/{name}"]
    return next(filter(None, map(shutil.which, candidates)), None)


class Check:
    """The steps, one after the other, and what they left."""

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

    def run(self) -> bool:
        """All steps; whether it is built."""
        self.say(f"{self.machine['card'] or 'CPU'}, torch {self.machine.get('torch')}")
        # The package's version is read from its metadata.
        if not self.step("metadata", 30, sys.executable, "setup.py", "-q", "egg_info"):
            return False
        if self.args.only:
            return self.run_only(self.args.only)
        # The large graphs take as long to make as to measure: that is done beside other steps.
        nodes = self.nodes(REDDIT)
        wide = (f"data.degree={min(490, nodes // 4)}", "data.features=602")
        products = ["data.style=products", f"data.nodes={self.nodes(PRODUCTS)}"]
        reddit = ["data.style=arxiv", f"data.nodes={nodes}", *wide]
        self.prepare("products", products)
        self.prepare("reddit", reddit)
        if not self.build():
            return False
        self.check_ops("ops", 40)
        arxiv = ["--style", "arxiv", "--nodes", str(self.nodes(ARXIV))]
        self.shape("arxiv", 50, *arxiv)
        self.train("arxiv-synthetic", 70)
        self.prepared_shape("products", 100, products)
        for name in ("distill", "train", "inference"):
            self.benchmark(name, 40, arxiv)
        self.prepared_shape("reddit", 70, reddit)
        row = self.nodes(1_000_001)  # a long one: of all other nodes
        hub = ["--nodes", str(row), "--hub", str(row - 1)]
        self.benchmark("hub", 30, hub, of="spmm")
        self.tests(100)
        self.sanitizer("memcheck", 60)
        self.sanitizer("racecheck", 40, "--only", "min_cosine")
        return True

    def run_only(self, op: str) -> bool:
        if not self.build():
            return False
        self.last = time.monotonic() + self.slower * BUDGET_OF_ONE
        self.check_ops("ops", 20, "--only", op)
        self.benchmark(BENCHMARKS[op], 50, ["--style", "arxiv", "--nodes", str(self.nodes(ARXIV))])
        return True

    # Kinds of steps

    def build(self) -> bool:
        """Both libraries at once; what is built already stays."""
        command = [sys.executable, "setup.py", "build_ext", "-j2", "--inplace"]
        return self.step("build", 200, *command, log=self.scratch / "build.log")

    def check_ops(self, name: str, limit: int, *arguments: str) -> None:
        script = [sys.executable, "-W", "ignore::UserWarning", "benchmarks/check_ops.py"]
        out = ["--device", self.args.device, "--json", str(self.results / f"{name}.json")]
        self.step(name, limit, *script, *out, *arguments)

    def benchmark(self, name: str, limit: int, arguments: list[str], of: str = "") -> None:
        out = ["--device", self.args.device, "--json", str(self.results / f"{name}.json")]
        self.program(name, limit, "benchmark", of or name, *arguments, *out)

    def prepared_shape(self, name: str, limit: int, settings: list[str]) -> None:
        if self.prepared(name, limit):
            self.shape(name, limit, "--set", *settings, f"data.prepared={self.scratch / name}")
            shutil.rmtree(self.scratch / name)

    def shape(self, name: str, limit: int, *graph: str) -> None:
        """Influence, a product and hops on one graph."""
        all_of = ["all", "--only", "influence", "spmm", "propagate"]
        out = ["--device", self.args.device, "--out", str(self.results / name)]
        self.program(name, limit, "benchmark", *all_of, *graph, *out)

    def train(self, name: str, limit: int) -> None:
        """One seed of a shipped experiment from end to end."""
        run = self.scratch / "run"
        options = ["--seeds", "0", "--set", f"data.nodes={self.nodes(ARXIV)}"]
        options += ["train.epochs=20"] * (self.args.shrink > 1)
        out = ["--device", self.args.device, "--out", str(run)]
        if self.program(name, limit, "train", "--config", name, *options, *out):
            shutil.copy(run / "metrics.json", self.results / f"{name}.json")
            self.write()
        for left in self.scratch.glob("run*"):
            shutil.rmtree(left)

    def tests(self, limit: int) -> None:
        """Those that run on the device, the ops' first; on several cores where xdist is there."""
        ops = ROOT / "tests/ops"
        first = [ops / "test_spmm.py", ops / "test_propagate.py"]
        others = sorted({*ops.glob("test_*.py")} - {*first, ops / "test_sanitized.py"})
        more = ["nn", "training", "influence", "propagation", "distillation",
                "experiment/test_train.py"]  # fmt: skip
        files = [*first, *others, *(ROOT / "tests" / name for name in more)]
        several = ["-n", "4"] if importlib.util.find_spec("xdist") else []
        pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *several]
        chosen = ["--only-device", self.args.device, "--continue-on-collection-errors"]
        self.step("tests", limit, *pytest, *chosen, *map(str, files))

    def sanitizer(self, tool: str, limit: int, *arguments: str) -> None:
        program = cuda_tool("compute-sanitizer")
        device = self.args.device == "cuda"
        if not device or program is None:
            self.record(tool, "not run", "without compute-sanitizer" if device else "without a GPU")
            return
        options = ["--tool", tool, "--kernel-regex", "kns=infgrand", "--error-exitcode", "1"]
        script = [sys.executable, "-W", "ignore::UserWarning", "benchmarks/check_ops.py", "--small"]
        self.step(tool, limit, program, *options, *script, *arguments)

    def program(self, name: str, limit: int, *arguments: str) -> bool:
        return self.step(name, limit, sys.executable, "-m", "infgrand_dgl", *arguments)

    def nodes(self, nodes: int) -> int:
        return max(100, nodes // self.args.shrink)

    # Graphs that are made while other steps run

    def prepare(self, name: str, settings: list[str]) -> None:
        """Starts to make a prepared dataset in a process of its own."""
        out = self.scratch / name
        command = ["data", "prepare", "--config", "demo", "--set", *settings, "--out", str(out)]
        with (self.scratch / "prepare.log").open("ab") as log:
            process = self.spawn([sys.executable, "-m", "infgrand_dgl", *command], log)
        self.running.append(process)
        self.preparing[name] = process

    def prepared(self, name: str, limit: int) -> bool:
        """Waits for a graph; whether it came."""
        start, process = time.monotonic(), self.preparing[name]
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0, min(self.slower * limit, self.last - start)))
        kill(process)
        self.running.remove(process)
        seconds = time.monotonic() - start
        if process.returncode != 0:
            status = "failed" if process.returncode > 0 else "ended"
            self.record(name, status, "before its graph was made", seconds)
            return False
        self.say(f"{name}: waited {seconds:.0f} s for its graph")
        return True

    # One step

    def step(self, name: str, limit: int, *command: str, log: Path | None = None) -> bool:
        """Runs it for so long at most, and within what is left; whether it went well."""
        left, limit = self.last - time.monotonic(), self.slower * limit
        if left < min(10, limit):
            self.record(name, "not run", "for want of time")
            return False
        limit = min(limit, int(left))
        with (log or self.log).open("ab") as out:
            out.write(f"\n== {name}: {' '.join(command)}\n".encode())
            out.flush()
            start = time.monotonic()
            process = self.spawn(list(command), out)
            self.running.append(process)
            try:
                status = process.wait(limit)
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
        found = (self.names("failed"), self.names("ended", "not run"))
        lists = (", ".join(names) or "none" for names in found)
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
    for number, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def cut(path: Path, limit: int) -> None:
    """Leaves out the middle of a log that is too long."""
    size = path.stat().st_size
    if size > limit:
        text = path.read_bytes()
        told = f"\n... {size - limit} bytes left out ...\n".encode()
        path.write_bytes(text[: limit // 4] + told + text[size - limit * 3 // 4 + len(told) :])


if __name__ == "__main__":
    sys.exit(main())
