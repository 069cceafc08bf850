"""gpu_check.py REPORT: builds, checks and measures on a machine with a GPU, in ten minutes.

It takes the Python that runs it, without virtual environment or network: torch, DGL and the rest
come from there or from PYTHONPATH. After every step it writes REPORT/summary.json (the machine, the
steps, the figures of every benchmark) and REPORT/report.tar (logs and figures), 16 MB at most in
all; everything else lies in a temporary folder that is gone at the end, however it ends.

`--only checks` builds and compares every op with its reference, under the sanitizers too, and runs
the tests of the device, in four minutes; `--only figures` builds and measures. `--only OP` builds
what is not built, checks that op and runs its benchmark, in a minute.
`--device cpu --shrink 100` rehearses all of it without a GPU on graphs of a hundredth.
"""

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from gpu_probe import cuda_tool
from gpu_steps import ROOT, Steps, Stopped, kill

BUDGET_OF_ONE = 60  # seconds of one op, the build aside
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ARXIV, PRODUCTS, REDDIT = 169_343, 2_449_029, 232_965  # nodes
PAPERS = 9_000_000  # as many as are made within a minute
PRECISIONS = ("bfloat16", "tf32", "float32")

# Which benchmark has an op's figures.
BENCHMARKS = {"spmm": "spmm", "propagate": "propagate", "edge_dot": "distill", "gat": "train",
              "min_cosine": "influence"}  # fmt: skip


# The command of sys.argv[2:]; its profile into sys.argv[1], however it ends.
PROFILED = """
import cProfile, sys
profile = cProfile.Profile()
try:
    with profile:
        from infgrand_dgl.cli import main
        status = main(sys.argv[2:])
finally:
    profile.dump_stats(sys.argv[1])
sys.exit(status)
"""
CHECK_OPS = [sys.executable, "-W", "ignore::UserWarning", "benchmarks/check_ops.py"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", metavar="REPORT", help="folder of the two files")
    parts = ["checks", "figures", *BENCHMARKS]
    parser.add_argument("--only", choices=parts, metavar="PART", help=", ".join(parts))
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--shrink", type=int, default=1, metavar="N", help="divides the nodes")
    args = parser.parse_args()
    if not args.report:
        return refuse("expected a folder for the report: make gpu-check REPORT=dir")
    command = [sys.executable, str(ROOT / "benchmarks/gpu_probe.py"), args.device]
    probe = subprocess.run(command, capture_output=True, text=True)
    if probe.returncode != 0:
        return refuse(*probe.stderr.splitlines()[-1:])
    here = json.loads(probe.stdout.splitlines()[-1])
    if here["problems"]:
        return refuse(*here["problems"])
    try:
        Path(args.report).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return refuse(f"REPORT: {error}")
    for number in SIGNALS:
        signal.signal(number, stop)
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as scratch:
        check = Check(args, here["machine"], Path(scratch))
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


class Check(Steps):
    """What is built, checked and measured, in its order."""

    def run(self) -> bool:
        """All steps; whether it is built."""
        self.say(f"{self.machine['card'] or 'CPU'}, torch {self.machine.get('torch')}")
        # The package's version is read from its metadata.
        if not self.step("metadata", 30, sys.executable, "setup.py", "-q", "egg_info"):
            return False
        only = self.args.only
        if only in BENCHMARKS:
            return self.run_only(only)
        graphs = self.graphs()
        if only != "checks":
            for name, settings in graphs.items():
                self.prepare(name, settings)
        if not self.build():
            return False
        if only != "figures":
            self.checks()
        if only != "checks":
            self.figures(graphs)
        return True

    def graphs(self) -> dict[str, list[str]]:
        """The experiment and the settings of each. Large ones take as long to make as to measure:
        that is done beside other steps."""
        reddit = self.nodes(REDDIT)
        return {
            "arxiv": ["arxiv-synthetic", f"data.nodes={self.nodes(ARXIV)}"],
            "products": ["products-synthetic", f"data.nodes={self.nodes(PRODUCTS)}"],
            "reddit": ["demo", "data.style=arxiv", f"data.nodes={reddit}", "data.features=602",
                       f"data.degree={min(490, reddit // 10)}"],
            "papers": ["papers100M-synthetic", f"data.nodes={self.nodes(PAPERS)}"],
        }  # fmt: skip

    def checks(self) -> None:
        """What times nothing, at once."""
        out = ["--device", self.args.device, "--json", str(self.results / "ops.json")]
        sanitized = {
            "memcheck": self.sanitizer("memcheck"),
            "racecheck": self.sanitizer("racecheck", "--only", "gat", "min_cosine"),
        }
        found = {name: command for name, command in sanitized.items() if command}
        self.together(200, ops=[*CHECK_OPS, *out], tests=self.tests(), **found)

    def figures(self, graphs: dict[str, list[str]]) -> None:
        of_arxiv = ["--style", "arxiv", "--nodes", str(self.nodes(ARXIV))]
        self.shape("arxiv", 60, graphs["arxiv"])
        for precision in PRECISIONS:
            self.train(f"arxiv-synthetic-{precision}", 80, graphs["arxiv"], precision)
        self.once(40, graphs["arxiv"])
        self.shape("products", 60, graphs["products"])
        self.benchmark("train", 80, of_arxiv)
        self.shape("papers", 40, graphs["papers"], "propagate", "--hops", "3")
        for width in (64, 256):
            self.benchmark(f"spmm-{width}", 30, [*of_arxiv, "--features", str(width)], of="spmm")
        self.shape("reddit", 50, graphs["reddit"], "spmm")
        row = self.nodes(1_000_001)  # a long one: of all other nodes
        self.benchmark("hub", 45, ["--nodes", str(row), "--hub", str(row - 1)], of="spmm")
        for name in ("distill", "inference"):
            self.benchmark(name, 60, of_arxiv)

    def run_only(self, op: str) -> bool:
        if not self.build():
            return False
        self.last = time.monotonic() + self.slower * BUDGET_OF_ONE
        out = ["--device", self.args.device, "--json", str(self.results / "ops.json")]
        self.step("ops", 20, *CHECK_OPS, *out, "--only", op)
        self.benchmark(BENCHMARKS[op], 50, ["--style", "arxiv", "--nodes", str(self.nodes(ARXIV))])
        return True

    # Kinds of steps

    def build(self) -> bool:
        """Both libraries at once; what is built already stays."""
        command = [sys.executable, "setup.py", "build_ext", "-j2", "--inplace"]
        return self.step("build", 200, *command, log=self.scratch / "build.log")

    def benchmark(self, name: str, limit: int, arguments: list[str], of: str = "") -> None:
        out = ["--device", self.args.device, "--json", str(self.results / f"{name}.json")]
        self.program(name, limit, "benchmark", of or name, *arguments, *out)

    def shape(self, name: str, limit: int, graph: list[str], *benchmark: str) -> None:
        """A benchmark on a graph, or influence, a product and hops."""
        if not self.prepared(name, limit):
            return
        chosen = list(benchmark) or ["all", "--only", "influence", "spmm", "propagate"]
        out = ["--json", str(self.results / f"{name}.json")] if benchmark else []
        out = out or ["--out", str(self.results / name)]
        on = ["--config", graph[0], "--set", *graph[1:], f"data.prepared={self.scratch / name}"]
        self.program(name, limit, "benchmark", *chosen, *on, "--device", self.args.device, *out)

    def train(self, name: str, limit: int, graph: list[str], precision: str) -> None:
        """One seed of a shipped experiment from end to end, in a process of its own."""
        setting = f"train.precision={precision}"
        if self.training(name, limit, ["-m", "infgrand_dgl"], graph, setting):
            shutil.copy(self.scratch / "run/metrics.json", self.results / f"{name}.json")
            self.write()
        for left in self.scratch.glob("run*"):
            shutil.rmtree(left)

    def once(self, limit: int, graph: list[str]) -> None:
        """What a process does but once: a short training under Python's profiler, for pstats."""
        program = ["-c", PROFILED, str(self.results / "once.prof")]
        self.training("once", limit, program, graph, "train.epochs=20")

    def training(
        self, name: str, limit: int, program: list[str], graph: list[str], *more: str
    ) -> bool:
        if not (self.scratch / "arxiv").exists():
            self.record(name, "not run", "without its graph")
            return False
        on = ["--config", graph[0], "--seeds", "0", "--set", *graph[1:], *more]
        on += [f"data.prepared={self.scratch / 'arxiv'}"]
        on += ["train.epochs=20"] * (self.args.shrink > 1)
        out = ["--device", self.args.device, "--out", str(self.scratch / "run")]
        return self.step(name, limit, sys.executable, *program, "train", *on, *out)

    def tests(self) -> list[str]:
        """Those that run on the device, the ops' first; on several cores where xdist is there."""
        ops = ROOT / "tests/ops"
        first = [ops / "test_spmm.py", ops / "test_propagate.py"]
        others = sorted({*ops.glob("test_*.py")} - {*first, ops / "test_sanitized.py"})
        more = ["nn", "training", "influence", "propagation", "distillation", "graph",
                "features", "system", "benchmark/test_pyg.py"]  # fmt: skip
        files = [*first, *others, *(ROOT / "tests" / name for name in more)]
        several = ["-n", str(max(1, (os.cpu_count() or 1) // 2))]
        pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
        pytest += several if importlib.util.find_spec("xdist") else []
        pytest += ["-p", "no:benchmark"]  # pytest-benchmark warns beside xdist, which is an error
        chosen = ["--only-device", self.args.device, "--continue-on-collection-errors"]
        return [*pytest, *chosen, *map(str, files)]

    def sanitizer(self, tool: str, *arguments: str) -> list[str]:
        """Its command; none where it cannot run."""
        program = cuda_tool("compute-sanitizer")
        device = self.args.device == "cuda"
        if not device or program is None:
            self.record(tool, "not run", "without compute-sanitizer" if device else "without a GPU")
            return []
        options = ["--tool", tool, "--kernel-regex", "kns=infgrand", "--error-exitcode", "1"]
        return [program, *options, *CHECK_OPS, "--small", *arguments]

    def program(self, name: str, limit: int, *arguments: str) -> bool:
        return self.step(name, limit, sys.executable, "-m", "infgrand_dgl", *arguments)

    def nodes(self, nodes: int) -> int:
        return max(100, nodes // self.args.shrink)

    # Graphs that are made while other steps run

    def prepare(self, name: str, settings: list[str]) -> None:
        """Starts to make a prepared dataset of an experiment in a process of its own."""
        out = self.scratch / name
        command = ["data", "prepare", "--config", settings[0], "--set", *settings[1:]]
        command += ["--out", str(out)]
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


if __name__ == "__main__":
    sys.exit(main())
