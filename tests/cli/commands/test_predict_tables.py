"""`predict` of tables, into tables, and of files that are larger than memory."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from infgrand_dgl import Predictor
from infgrand_dgl.nn.mlp import MLP
from infgrand_dgl.serving import save_weights

from ..conftest import refused, run

ROOT = Path(__file__).parents[3]
N, D = 300, 60  # of `trained`
SUFFIXES = [".csv", ".parquet"]


@pytest.fixture(autouse=True)
def small_blocks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("infgrand_dgl.system.arrays.NUMBERS", 7 * D)


def save(path, frame):
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)


def read(path):
    return pd.read_csv(path) if Path(path).suffix == ".csv" else pd.read_parquet(path)


def predicted(capsys, trained, *options, out):
    status, output, err = run(capsys, "predict", "--run", trained, "--out", out, *options)
    assert status == 0, err
    return np.load(out) if str(out).endswith(".npy") else read(out), output


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_propagated_and_nodes_of_tables(suffix, trained, tmp_path, capsys):
    expected = Predictor.open(trained).stored()
    x = np.load(trained / "propagated.npy")
    save(tmp_path / f"x{suffix}", pd.DataFrame(x).add_prefix("x"))
    options = ("--propagated", f"x{suffix}", "--probabilities")
    found, output = predicted(capsys, trained, *options, out="p.npy")
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert output.endswith(": 300 nodes; wrote p.npy\n")

    ids = np.random.randint(0, N, 40)
    save(tmp_path / f"ids{suffix}", pd.DataFrame({"id": ids, "year": 2026}))
    options = ("--nodes", f"ids{suffix}", "--probabilities")
    found, _ = predicted(capsys, trained, *options, out="p.npy")
    np.testing.assert_allclose(found, expected[ids], rtol=1e-5, atol=1e-7)
    table, _ = predicted(capsys, trained, *options, out=f"p{suffix}")
    assert [*table] == ["node", "0", "1", "2"] and table["node"].tolist() == ids.tolist()
    np.testing.assert_array_equal(table[["0", "1", "2"]].to_numpy(np.float32), found)

    table, _ = predicted(capsys, trained, out=f"classes{suffix}")
    assert table["node"].tolist() == [*range(N)]
    assert table["class"].tolist() == expected.argmax(axis=1).tolist()
    again, _ = predicted(capsys, trained, "--nodes", f"classes{suffix}", out="p.npy")
    assert again.tolist() == table["class"].tolist()


@pytest.mark.parametrize("suffix", [".npy", *SUFFIXES])
def test_new_and_changed_nodes(suffix, trained, tmp_path, capsys):
    predictor = Predictor.open(trained)
    x = (np.random.rand(20, D) < 0.2).astype(np.float32)
    features, ids = tmp_path / f"x{suffix}", tmp_path / f"ids{suffix}"
    if suffix == ".npy":
        np.save(features, x.astype(np.int8))
        np.save(ids, np.arange(40, 60))
    else:
        save(features, pd.DataFrame(x).add_prefix("x"))
        save(ids, pd.DataFrame({"node": np.arange(40, 60)}))
    columns = ["0", "1", "2"]

    def found(*options):
        options = ("--features", features, "--probabilities", *options)
        table, _ = predicted(capsys, trained, *options, out="p.parquet")
        return table["node"].tolist(), table[columns].to_numpy()

    nodes, cold = found()
    assert nodes == [*range(N, N + 20)]
    np.testing.assert_allclose(cold, predictor.new(x), rtol=1e-5, atol=1e-6)
    np.savetxt("e.csv", [[N + 3, 5], [N, N + 19]], fmt="%d", delimiter=",")
    nodes, joined = found("--edges", "e.csv")
    assert nodes == [*range(N, N + 20)]
    expected = predictor.new(x, np.array([[N + 3, 5], [N, N + 19]]))
    np.testing.assert_allclose(joined, expected, rtol=1e-5, atol=1e-6)
    nodes, changed = found("--nodes", ids)
    assert nodes == [*range(40, 60)]
    np.testing.assert_allclose(changed, predictor.changed(nodes, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("edges", [(), ("--edges", "e.csv")])
def test_features_in_a_folder(edges, trained, capsys):
    x = (np.random.rand(6, D) < 0.2).astype(np.float32)
    Path("x.parquet").mkdir()
    for part in (0, 1):
        save(Path(f"x.parquet/{part}.parquet"), pd.DataFrame(x[3 * part :][:3]).add_prefix("x"))
    Path("e.csv").write_text("source,target\n")
    options = ("--features", "x.parquet", "--probabilities", *edges)
    found, _ = predicted(capsys, trained, *options, out="p.npy")
    np.testing.assert_allclose(found, Predictor.open(trained).new(x), rtol=1e-5, atol=1e-6)


def test_endings_in_capitals(trained, capsys):
    for ending in ("PARQUET", "CSV"):
        assert run(capsys, "predict", "--run", trained, "--out", f"p.{ending}")[0] == 0
        found, _ = predicted(capsys, trained, "--nodes", f"p.{ending}", out="p.npy")
        assert len(found) == N


@pytest.mark.parametrize(
    ("first", "edges", "message"),
    [
        ("NA", [[N, 5]], "x.csv: expected names above the rows, or none; found 'NA' among numbers"),
        ("1", [[4, 5]], "e.npy: edges: expected a new node in each, 300 or above"),
        ("1", [[N, 5, 2]], "e.npy: weights: the graph that the nodes join has none"),
    ],
)
def test_errors_with_edges(first, edges, message, trained, tmp_path, capsys):
    rows = pd.DataFrame(np.ones((5, D), int)).to_csv(index=False, header=False)
    Path("x.csv").write_text(first + rows[1:])
    ends = np.array(edges)
    if ends.shape[1] == 3:
        pd.DataFrame(ends, columns=["source", "target", "weight"]).to_csv("e.csv", index=False)
        message = message.replace("e.npy", "e.csv")
    np.save("e.npy", ends)
    options = ("--features", "x.csv", "--edges", "e.csv" if ends.shape[1] == 3 else "e.npy")
    command = ("predict", "--run", trained, "--out", "p.npy", *options)
    assert message in refused(capsys, tmp_path, *command)


def test_calibrated_and_likeliest(trained, capsys):
    expected = Predictor.open(trained, 2, calibrated=True).stored()
    options = ("--top", 2, "--calibrated", "--seed", 2)
    table, _ = predicted(capsys, trained, *options, out="top.csv")
    assert table["class_1"].tolist() == expected.argmax(axis=1).tolist()
    found = table[["probability_1", "probability_2"]].to_numpy(np.float32)
    np.testing.assert_allclose(found, -np.sort(-expected)[:, :2], rtol=1e-5, atol=1e-7)


def test_page(trained, tmp_path, capsys):
    """docs/serving.md's commands with tables, where their names lead to this run."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/cora").symlink_to(trained)
    pd.DataFrame(np.load(trained / "propagated.npy")).add_prefix("x").to_parquet("rows.parquet")
    page = (ROOT / "docs/serving.md").read_text()
    (block,) = re.findall(r"```bash\n([^`]*--top[^`]*)```", page)
    for line in block.splitlines():
        assert run(capsys, *shlex.split(line, comments=True)[1:])[0] == 0, line
    assert len(read("likeliest.csv")) == len(read("probabilities.parquet")) == N


def bad_number(frame):
    frame = frame.astype(object)
    frame.iloc[277, 3] = "1,5"
    return frame


@pytest.mark.parametrize(
    ("name", "damaged", "message"),
    [
        (".csv", bad_number, "found '1,5' in row 277 (line 279), column 3"),
        (".csv", lambda x: x.iloc[:, 1:], "x.csv: expected floating point [n, 60], found 59 col"),
        (".csv", lambda x: x.assign(id=1), "x.csv: expected no column of ids, found one"),
        (".parquet", lambda x: x.replace(x.iloc[299, 59], np.inf), "'inf' in row 299, column 59"),
        (".npy", lambda x: x.replace(x.iloc[170, 0], np.nan), "found 'nan' in row 170, column 0"),
    ],
)
@pytest.mark.parametrize("out", [".npy", ".csv", ".parquet"])
def test_errors_half_way_leave_what_was_there(
    name, damaged, message, out, trained, capsys, tmp_path
):
    frame = damaged(pd.DataFrame(np.random.randn(N, D).astype(np.float32)).add_prefix("x"))
    np.save("x.npy", frame) if name == ".npy" else save(Path(f"x{name}"), frame)
    Path(f"p{out}").write_text("before")
    command = ("predict", "--run", trained, "--propagated", f"x{name}", "--out", f"p{out}")
    assert message in refused(capsys, tmp_path, *command)
    assert Path(f"p{out}").read_text() == "before"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "p.tsv"], "--out p.tsv: expected .npy, .csv or .parquet at its end"),
        (["--out", "p.npy", "--top", 2], "--top: needs a table, --out in .csv or .parquet"),
        (["--out", "p.csv", "--top", 4], "--top: expected 1 to 3, the classes, found 4"),
        (["--out", "p.csv", "--calibrated"], "--calibrated: only with --probabilities or --top"),
        (
            ["--out", "p.csv", "--nodes", "n.csv"],
            "n.csv: expected ids 0 to 299, found 300 in row 9",
        ),
        (["--out", "p.csv", "--nodes", "gone.csv"], "gone.csv: no such file"),
        (["--out", "p.csv", "--nodes", "mask.csv"], "found 300 zeros and ones, as in a mask"),
        (["--out", "no/where/p.csv", "--propagated", "n.csv"], "[n, 60], found 1 columns"),
    ],
)
def test_errors(options, message, trained, tmp_path, capsys):
    np.savetxt("n.csv", [*range(291, 303)], fmt="%d")
    np.savetxt("mask.csv", np.arange(N) % 2, fmt="%d")
    assert message in refused(capsys, tmp_path, "predict", "--run", trained, *options)


def test_either_the_likeliest_or_all(trained, capsys):
    options = ("--top", 2, "--probabilities", "--out", "p.csv")
    status, _, err = run(capsys, "predict", "--run", trained, *options)
    assert status == 2 and "not allowed with argument" in err


MEASURED = """
import re, sys
from infgrand_dgl.cli import main
from infgrand_dgl.system import arrays

arrays.NUMBERS = 1 << 16
HWM = re.compile(r"VmHWM:\\s+(\\d+) kB")


def peak():
    return int(HWM.search(open("/proc/self/status").read())[1]) << 10


def predict(option, name, out):
    assert main(["predict", "-q", "--run", "run", option, name, "--out", out]) == 0


for out in (".npy", ".csv", ".parquet"):
    predict("--propagated", "small.npy", "p" + out)
for suffix in (".csv", ".parquet"):
    predict("--propagated", "small" + suffix, "p.npy")
before = peak()
for suffix in (".npy", ".csv", ".parquet"):
    predict("--propagated", "large" + suffix, "p" + suffix)
    print(suffix, peak() - before)
predict("--nodes", "ids.npy", "p.npy")
print("ids", peak() - before)
"""


def test_memory_does_not_grow_with_files(tmp_path):
    """24 MB of each kind, of which 256 kB are in memory together, and as much of answers."""
    width, rows, ids = 32, 3 << 16, 3 << 20
    (tmp_path / "run/seed-3").mkdir(parents=True)
    (tmp_path / "run/config.yaml").write_text("data: {name: cora}\n")
    metrics = {"seeds": [3], "student": {"val": {"per_seed": [0.5]}}}
    (tmp_path / "run/metrics.json").write_text(json.dumps(metrics))
    file = tmp_path / "run/seed-3/student.safetensors"
    save_weights(file, MLP(width, 8, 3, layers=2))
    x = np.random.randn(1 << 12, width).astype(np.float32)
    np.save("run/propagated.npy", x)
    np.save("ids.npy", np.random.randint(0, len(x), ids))
    for name, times in (("small", 8), ("large", rows // len(x))):
        np.save(f"{name}.npy", np.tile(x, (times, 1)))
        frame = pd.DataFrame(np.tile(x, (times, 1))).add_prefix("x")
        frame.to_parquet(f"{name}.parquet", row_group_size=1 << 14)
        some = "".join(",".join(f"{v:.3f}" for v in row) + "\n" for row in x[:1000].tolist())
        Path(f"{name}.csv").write_text(some * (times * 2))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MEASURED]
    process = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    grown = {k: int(v) for k, v in map(str.split, process.stdout.splitlines())}
    assert max(grown.values()) < 16 << 20, grown
