"""`infgrand-dgl update`"""

import json

import numpy as np
import pandas as pd
import pytest

from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import load_source

from ..conftest import refused, run

N, D = 300, 60


@pytest.fixture
def some(trained, tmp_path):
    """Files of edges that are there, and of others; of new nodes, and of other features."""
    csr = load_source(load_config(trained / "config.yaml").data).csr
    rows = np.repeat(np.arange(N), csr.row_lengths)
    there = np.stack([rows, csr.indices.numpy()], axis=1)
    known = set(map(tuple, there.tolist()))
    pairs = np.random.randint(0, N, (40, 2))
    fresh = {(int(min(p)), int(max(p))) for p in pairs} - known
    apart = there[there[:, 0] < there[:, 1]]
    np.save(tmp_path / "gone.npy", apart[np.random.permutation(len(apart))[:3]])
    np.save(tmp_path / "come.npy", np.array(sorted(fresh)[:5]))
    np.save(tmp_path / "x.npy", np.random.rand(2, D))
    pd.DataFrame({"source": [N, 7], "target": [3, N + 1]}).to_csv(tmp_path / "e.csv", index=False)
    np.savez(tmp_path / "set.npz", ids=[4, 9], features=np.random.rand(2, D))
    return tmp_path


def test_update(trained, some, capsys):
    """Of all kinds at once; then students are trained on."""
    files: list[object] = ["--add-edges", some / "come.npy", "--remove-edges", some / "gone.npy"]
    files += ["--features", some / "x.npy", "--add-nodes", some / "e.csv"]
    files += ["--set-features", some / "set.npz"]
    status, output, err = run(capsys, "update", "--run", trained, *files, "--refresh", 3)
    assert status == 0, err
    first, header, *rows, students, two, last = output.splitlines()
    assert "the first update reads the run's dataset" in first
    assert header.split() == ["rows", "changed"]
    names = ["of inputs", "of influence", "of targets, seed 1", "of targets, seed 2", "seconds"]
    assert [row.rsplit(maxsplit=1)[0].strip() for row in rows] == names
    assert students.startswith("seed 1: student") and two.startswith("seed 2: student")
    assert "of 2 students are better by validation, and replaced" in last
    (line, refreshed) = map(json.loads, (trained / "updates.jsonl").read_text().splitlines())
    assert [line[k] for k in ("added", "removed", "nodes", "features")] == [7, 3, 2, 2]
    assert rows[0].split()[-1] == f"{line['rows']['inputs']:,}" and refreshed["refresh"] == 1
    assert np.load(trained / "propagated.npy").shape == (N + 2, D)

    out = some / "p.npy"
    for options in ((), ("--features", some / "x.npy")):
        assert run(capsys, "predict", "--run", trained, "--out", out, *options)[0] == 0
    assert run(capsys, "update", "-q", "--run", trained, "--add-edges", some / "gone.npy") == (
        0,
        "",
        "",
    )
    assert run(capsys, "export", "--run", trained, "--format", "torch", "--out", some / "e")[0] == 0
    assert run(capsys, "report", trained, "--out", some / "r.html")[0] == 0
    assert "Its graph was updated" in (some / "r.html").read_text()


def test_new_nodes_without_edges(trained, some, capsys):
    assert run(capsys, "update", "-q", "--run", trained, "--features", some / "x.npy")[0] == 0
    inputs = np.load(trained / "propagated.npy")
    x = np.load(some / "x.npy")
    np.testing.assert_allclose(inputs[-2:], x / x.sum(axis=1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "update: expected edges, nodes or features that change, or --refresh"),
        (["--add-nodes", "e.csv"], "--add-nodes: the new nodes need --features"),
        (["--add-edges", "gone.npy"], "gone.npy: expected none that the graph has, found ["),
        (["--remove-edges", "come.npy"], "come.npy: expected some of the graph, found ["),
        (["--add-edges", "e.csv"], "e.csv: expected node ids 0 to 299 (of the run's graph)"),
        (["--add-edges", "x.npy"], "x.npy: "),
        (["--features", "set.npz"], "set.npz: expected [n, 60], found [2, 61]"),
        (["--set-features", "far.npz"], "far.npz: expected ids 0 to 299, found 300"),
        (["--set-features", "x.npy"], "expected a column id beside the features"),
    ],
)
def test_errors(options, message, trained, some, capsys):
    run(capsys, "update", "--run", trained, "--set-features", some / "set.npz")
    if options == ["--features", "set.npz"]:
        np.savez(some / "set.npz", features=np.random.rand(2, D + 1))
    given = [some / each if "." in each else each for each in options]
    np.savez(some / "far.npz", ids=[300], features=np.random.rand(1, D))
    told = refused(capsys, some, "update", "--run", trained, *given)
    assert message in told and (options[:1] != ["--add-edges"] or "added edges" not in told)


def test_refresh_is_refused_before_the_update(trained, some, capsys):
    config = load_config(trained / "config.yaml").replace("data", label_choice="high", label_rate=1)
    (trained / "config.yaml").write_text(config.to_yaml())
    command = ("update", "--run", trained, "--set-features", some / "set.npz", "--refresh", 2)
    assert "--refresh: data.label_choice" in refused(capsys, some, *command)
