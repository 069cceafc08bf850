"""The scripts in benchmarks/, as far as they go without a GPU."""

import argparse
import importlib.util
import json
import os
import pstats
import re
import signal
import subprocess
import sys
import tarfile
import time
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import needs_gpu, pytest_collection_modifyitems

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks/gpu_check.py"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    """They import each other; their clock starts with the test."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    for script in SCRIPT.parent.glob("*.py"):
        monkeypatch.delitem(sys.modules, script.stem, raising=False)


def load(name: str) -> types.ModuleType:
    return importlib.import_module(name)


@pytest.fixture
def gpu_check():
    return load("gpu_check")


@pytest.fixture
def gpu_probe():
    return load("gpu_probe")


@pytest.fixture
def gpu_steps():
    return load("gpu_steps")


def new_check(gpu_check, tmp_path, **options):
    """A check whose report and scratch are folders in `tmp_path`."""
    for name in ("report", "scratch"):
        (tmp_path / name).mkdir()
    arguments = {"report": str(tmp_path / "report"), "only": None, "device": "cpu", "shrink": 1}
    given = argparse.Namespace(**(arguments | options))
    return gpu_check.Check(given, {"card": None, "architecture": "90a"}, tmp_path / "scratch")


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


# The script with another command in place of those that would touch the working tree.
DRIVER = """
import sys
sys.path.insert(0, {folder!r})
import gpu_check
step = gpu_check.Check.step

def instead(self, name, limit, *command, **options):
    if name in ("metadata", "build"):
        command = (sys.executable, "-c", {code!r})
    return step(self, name, limit, *command, **options)

gpu_check.Check.step = instead
sys.exit(gpu_check.main())
"""


def drive(tmp_path: Path, code: str, *arguments: str) -> subprocess.Popen[str]:
    (tmp_path / "tmp").mkdir()
    driver = DRIVER.format(folder=str(SCRIPT.parent), code=code)
    return subprocess.Popen(
        [*python(driver), str(tmp_path / "report"), "--device", "cpu", *arguments],
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def read(report: Path):
    """The summary, and the names in the archive: all that the report holds."""
    assert {path.name for path in report.iterdir()} == {"summary.json", "report.tar"}
    with tarfile.open(report / "report.tar") as archive:
        return json.loads((report / "summary.json").read_text()), set(archive.getnames())


def test_a_folder_is_needed():
    done = subprocess.run([sys.executable, SCRIPT, ""], capture_output=True, text=True)
    assert done.returncode == 1 and "make gpu-check REPORT=dir" in done.stderr


def test_make_passes_its_variables_on():
    command = [
        "make",
        "-n",
        "--no-print-directory",
        "gpu-check",
        "ONLY=gat",
        "DEVICE=cpu",
        "SHRINK=7",
        "REPORT=r",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split("gpu_check.py ")[1].split() == [
        *['"r"', "--device", "cpu", "--shrink", "7", "--only", "gat"]
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_one_line(gpu_probe, monkeypatch):
    monkeypatch.setattr(gpu_probe, "cuda_tool", lambda name: name)
    (problem,) = gpu_probe.probe("cuda")["problems"]
    assert problem.startswith("no GPU: torch ") and gpu_probe.probe("cpu")["problems"] == []


def test_all_that_is_missing_is_named_at_once(gpu_probe, monkeypatch):
    gone = {"dgl", "pydantic", "pydantic_core", "annotated_types", "typing_inspection", "yaml"}
    find_spec = importlib.util.find_spec

    def find(name, *rest):
        return None if name in gone else find_spec(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    monkeypatch.setitem(gpu_probe.WHEELS, "setuptools", "setuptools>=999")
    monkeypatch.setenv("CXX", "no-such-compiler")
    old, missing, compiler = gpu_probe.probe("cpu")["problems"]
    assert old.startswith("setuptools ") and old.endswith("is too old; 999 is needed")
    for wheel in ("dgl==2.1.0", "pydantic>=2.8", "pydantic_core", "annotated-types",
                  "typing-inspection", "pyyaml"):  # fmt: skip
        assert f" {wheel}," in missing.replace(";", ",")
    assert "numpy" not in missing and "CXX" in compiler


def test_what_the_check_needs_is_what_the_package_needs(gpu_probe):
    """But for ogb, which only its own graphs need."""
    import tomllib

    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    plain = {name.split(">=")[0].split("==")[0] for name in gpu_probe.WHEELS.values()}
    assert {name.split(">=")[0] for name in needed} - plain == {"ogb"}


def test_steps_in_their_order(gpu_check, tmp_path, monkeypatch):
    check, ran = new_check(gpu_check, tmp_path, device="cuda"), []

    def step(name, limit, *command, log=None):
        ran.append((name, command))
        return True

    monkeypatch.setattr(check, "step", step)

    def together(limit, **commands):
        ran.extend((name, tuple(command)) for name, command in commands.items())

    monkeypatch.setattr(check, "together", together)
    monkeypatch.setattr(check, "prepare", lambda name, settings: None)
    monkeypatch.setattr(
        check, "prepared", lambda name, limit: (tmp_path / "scratch" / name).mkdir() or True
    )
    monkeypatch.setattr(check, "train", lambda name, *rest: ran.append((name, ())))
    monkeypatch.setattr(gpu_check, "cuda_tool", lambda name: f"/bin/{name}")
    assert check.run()
    commands = dict(ran)
    checks = ["ops", "tests", "memcheck", "racecheck"]
    figures = ["arxiv", *(f"arxiv-synthetic-{p}" for p in ("bfloat16", "tf32", "float32")), "once"]
    figures += ["products", "train", "papers", "spmm-64", "spmm-256", "reddit", "hub"]
    figures += ["distill", "inference"]
    assert list(commands) == ["metadata", "build", *checks, *figures]
    for part, names in (("checks", checks), ("figures", figures)):
        ran.clear()
        for folder in (tmp_path / "scratch").iterdir():
            if folder.name in figures:
                folder.rmdir()
        check.args.only = part
        assert check.run() and list(dict(ran)) == ["metadata", "build", *names]
    assert check.environment["INFGRAND_DGL_CUDA_ARCH"] == "90a"
    files = [part for part in commands["tests"] if "test_" in part]
    assert [Path(file).name for file in files[:2]] == ["test_spmm.py", "test_propagate.py"]
    assert all(Path(file).exists() for file in files) and "sanitized" not in "".join(files)
    assert {"products-synthetic", "data.nodes=2449029"} < set(commands["products"])
    for tool in ("memcheck", "racecheck"):
        assert commands[tool][:3] == ("/bin/compute-sanitizer", "--tool", tool)
        assert "--small" in commands[tool] and "kns=infgrand" in commands[tool]


def test_a_profiled_command_has_its_own_status(gpu_check, tmp_path):
    profile = tmp_path / "once.prof"
    command = [*python(gpu_check.PROFILED), str(profile), "train", "--config", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "nowhere" in done.stderr
    assert pstats.Stats(str(profile)).total_tt > 0  # type: ignore[attr-defined]


def test_a_step_ends_in_its_time(gpu_check, gpu_steps, tmp_path, monkeypatch):
    monkeypatch.setitem(gpu_steps.SLOWER, "cpu", 1)
    check = new_check(gpu_check, tmp_path)
    late = tmp_path / "late"
    forks = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {wait_then(late)!r}])"
    assert check.step("good", 20, *python("print('seen')"))
    assert not check.step("bad", 20, *python("exit(3)"))
    assert not check.step("slow", 1, *python(forks))
    check.last = time.monotonic() + 5
    assert not check.step("late", 20, *python(""))
    check.end()
    summary, names = read(tmp_path / "report")
    assert {row["step"]: row["status"] for row in summary["steps"]} == {
        "good": "done", "bad": "failed", "slow": "ended", "late": "not run",
    }  # fmt: skip
    assert summary["failed"] == ["bad"] and summary["unfinished"] == ["slow", "late"]
    assert names == {"log.txt"} and "seen" in check.log.read_text()
    time.sleep(2.5)
    assert not late.exists()  # what a step started ends with it


def wait_then(file: Path) -> str:
    return f"import time, pathlib; time.sleep(3); pathlib.Path({str(file)!r}).touch()"


def test_the_report_is_small(gpu_check, gpu_steps, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_steps, "LIMIT", 1 << 17)
    check = new_check(gpu_check, tmp_path)
    check.log.write_text("first\n" + "x" * 300_000 + "\nlast")
    (check.results / "small.json").write_text('{"figure": 1.5}')
    (check.results / "huge.json").write_text(json.dumps(["é"] * 9000))
    (check.results / "half.json").write_text('{"figure": ')
    (check.results / "arxiv").mkdir()
    (check.results / "arxiv/some-card.json").write_text("[]")
    check.write()
    check.write()
    summary, names = read(tmp_path / "report")
    assert sum(path.stat().st_size for path in (tmp_path / "report").iterdir()) <= 1 << 17
    assert summary["results"] == {"small": {"figure": 1.5}, "arxiv": []}
    assert summary["left_out"] == ["huge.json"]
    assert names == {
        "log.txt",
        *(f"results/{n}.json" for n in ("small", "half", "arxiv/some-card")),
    }
    log = check.log.read_text()
    assert log.startswith("first\n") and log.endswith("\nlast") and "bytes left out" in log


def test_one_op_alone(tmp_path):
    process = drive(tmp_path, "", "--only", "edge_dot", "--shrink", "400")
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0, out
    summary, names = read(tmp_path / "report")
    assert [row["step"] for row in summary["steps"]] == ["metadata", "build", "ops", "distill"]
    assert {row["status"] for row in summary["steps"]} == {"done"}
    assert summary["results"]["distill"]["size"]["nodes"] == 169_343 // 400
    ops = summary["results"]["ops"]["rows"]
    assert [(row["op"], row["dtype"]) for row in ops] == [
        ("edge_dot", "float32"), ("edge_dot", "float64"),
    ]  # fmt: skip
    assert names == {"log.txt", "build.log", "results/ops.json", "results/distill.json"}
    assert not list((tmp_path / "tmp").iterdir())


def test_a_signal_leaves_a_report_and_no_scratch(tmp_path):
    running = tmp_path / "running"
    code = f"import time, pathlib; pathlib.Path({str(running)!r}).touch(); time.sleep(100)"
    process = drive(tmp_path, code, "--only", "spmm")
    while not running.exists():
        assert process.poll() is None
        time.sleep(0.05)
    assert list((tmp_path / "tmp").iterdir())
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    summary, _ = read(tmp_path / "report")
    (row,) = summary["steps"]
    assert (row["step"], row["status"], row["why"]) == ("metadata", "ended", "by the signal")
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_op_on_every_dtype(capsys, tmp_path):
    check_ops, out = load("check_ops"), tmp_path / "ops.json"
    assert check_ops.main(["--device", "cpu", "--small", "--json", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert {row["op"] for row in rows} == {"spmm", "propagate", "edge_dot", "gat", "min_cosine"}
    assert len(rows) == 14 and capsys.readouterr().out.count(": ok") == 14
    assert all(0 <= row["values"] <= row["limit"] and not row["missed"] for row in rows)
    assert all(row["gradients"] > 0 for row in rows if row["op"] != "min_cosine")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_wrong_op_is_reported_and_the_others_run(capsys, monkeypatch):
    check_ops = load("check_ops")
    right = check_ops.ops.edge_dot

    def wrong(csr, x, y):
        if x.shape[1] == 3:
            raise RuntimeError("illegal address\nand more")
        return right(csr, x, 1.001 * y)

    monkeypatch.setattr(check_ops.ops, "edge_dot", wrong)
    arguments = ["--device", "cpu", "--small", "--only", "edge_dot", "gat"]
    assert check_ops.main(arguments) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.endswith(("MISSED", "ok")) for line in lines].count(True) == 4
    assert "    mixed, D = 3: RuntimeError: illegal address" in lines
    assert any(line.startswith("    mixed, D = 100: 1.0e-03") for line in lines)


def test_every_test_of_a_device_is_among_those_that_run(gpu_check, tmp_path):
    given = {Path(word) for word in new_check(gpu_check, tmp_path).tests() if "/tests/" in word}
    assert all(path.exists() for path in given)
    takes = re.compile(r"^def test_\w+\([^)]*\bdevice\b", re.MULTILINE)
    for file in (ROOT / "tests").rglob("test_*.py"):
        if takes.search(file.read_text()):
            assert given & {file, *file.parents}, file


def test_the_tests_of_one_device():
    """What --only-device leaves of a collection."""

    def item(*marks, **parameters):
        callspec = types.SimpleNamespace(params=parameters)
        return types.SimpleNamespace(callspec=callspec, iter_markers=lambda name: marks)

    plain, needs = item(pytest.mark.skipif(True, reason="").mark), item(needs_gpu.mark)
    on_cpu, on_gpu, other = item(device="cpu"), item(device="cuda", width=3), item(width=3)
    del plain.callspec
    everything = [plain, needs, on_cpu, on_gpu, other]
    for wanted, left in (
        (None, everything),
        ("cuda", [needs, on_gpu]),
        ("cpu", [on_cpu]),
    ):
        items: list[Any] = list(everything)
        gone: list[Any] = []
        hook = types.SimpleNamespace(pytest_deselected=lambda items, gone=gone: gone.extend(items))
        config: Any = types.SimpleNamespace(getoption=lambda name, w=wanted: w, hook=hook)
        pytest_collection_modifyitems(config, items)
        assert items == left and len(items) + len(gone) == 5
