"""gpu_check.py REPORT: builds, checks and measures on a machine with a GPU, in seven minutes.

It takes the Python that runs it, without virtual environment or network: torch, DGL and the rest
come from there or from PYTHONPATH. After every step it writes REPORT/summary.json (the machine, the
steps, the figures of every benchmark) and REPORT/report.tar (logs and figures), 16 MB at most in
all; everything else lies in a temporary folder that is gone at the end, however it ends.

`--only OP` builds what is not built, checks that op and runs its benchmark, in a minute.
`--device cpu --shrink 100` rehearses all of it without a GPU on graphs of a hundredth.
"""

import argparse
import importlib.util
import json
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

# Which benchmark has an op's figures.
BENCHMARKS = {"spmm": "spmm", "propagate": "propagate", "edge_dot": "distill", "gat": "train",
              "min_cosine": "influence"}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", metavar="REPORT", help="folder of the two files")
    parser.add_argument("--only", choices=BENCHMARKS, metavar="OP", help=", ".join(BENCHMARKS))
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
        pytest += ["-p", "no:benchmark"]  # pytest-benchmark warns beside xdist, which is an error
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


if __name__ == "__main__":
    sys.exit(main())
