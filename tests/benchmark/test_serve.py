import subprocess
import time

import numpy as np
import pytest

from infgrand_dgl.benchmark import serve
from tests.benchmark.conftest import MODELS, check_rows, run

BARE = {"student_torch", "student_onnxruntime", "service"}
TEACHERS = {f"{m}_{how}" for m in ("gcn", "sage", "gat") for how in ("full", "sampled")}


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(serve, "ROUND", 0.05)
    monkeypatch.setattr(serve, "CALLS", 10)


def test_everybody_by_one_node(short, tmp_path, monkeypatch, capsys):
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    monkeypatch.setattr(serve, "CLIENTS", (1, 3))
    found = run("serve", *MODELS, tmp_path=tmp_path)
    assert {row["method"] for row in found["rows"] if row["clients"] == 1} == BARE | TEACHERS
    assert [row["method"] for row in found["rows"] if row["clients"] == 3] == ["service"]
    check_rows(found["rows"], alike="clients")
    for row in found["rows"]:
        assert row["seconds"]["min"] <= row["p99_seconds"] <= row["seconds"]["max"]
        assert row["requests_per_second"] > 0
    assert "`infgrand-dgl serve` of the ONNX export" in capsys.readouterr().out
    (process,) = (each for each in started if "serve" in str(each.args))
    assert process.wait(10) == -9  # it ends with the benchmark


def test_rates():
    said = serve.rates(4, [0.1] * 99 + [1.1])
    assert said["requests_per_second"] == pytest.approx(4 / 0.11)
    assert 0.1 < said["p99_seconds"] < 1.1


def test_without_the_packages(short, tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == "fastapi" else name)
    rows = run("serve", *MODELS, tmp_path=tmp_path)["rows"]
    skipped = {row["method"]: row.get("skipped") for row in rows}
    assert skipped["service"] == skipped["student_onnxruntime"] == "fastapi is not installed"
    assert skipped["student_torch"] is None and skipped["gat_full"] is None


def test_calls_are_of_one_row_each(short):
    seen = []

    def ask(x):
        seen.append(x)
        time.sleep(1e-3)
        return {}

    x = np.random.randn(50, 3)
    seconds = serve.calls(ask, x)
    assert len(seconds) == len(seen) == 10 and min(seconds) > 9e-4
    assert all((x == row).all(axis=1).any() and row.shape == (1, 3) for row in seen)
    assert len({row.tobytes() for row in seen}) > 5
