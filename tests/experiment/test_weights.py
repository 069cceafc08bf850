"""From files with edge weights to a student: what they change, and what is as without them."""

from pathlib import Path

import numpy as np
import pytest

from ..cli.conftest import run
from ..data.formats import weighted

SMALL = ("teacher.hidden=8", "student.hidden=8", "train.seeds=[3]", "train.epochs=4")


def propagated(capsys, root: Path, *settings: str) -> np.ndarray:
    out = root.parent / f"{root.name}.out.npy"
    given = ("--config", "own", "--set", f"data.root={root}", *settings, "--out", out)
    assert run(capsys, "propagate", *given, "-q")[0] == 0
    return np.load(out)


@pytest.mark.parametrize("self_loop", [1.0, 2.0])
def test_propagation_by_hand(self_loop, tmp_path, capsys):
    """A path 0 - 1 - 2 of weights 2 and 3; S = (2 + w, 5 + w, 3 + w)."""
    np.save(tmp_path / "features.npy", np.eye(3))
    (tmp_path / "edges.csv").write_text("source,target,weight\n0,1,2\n2,1,3\n1,1,9\n2,0,0\n")
    settings = ("propagation.hops=1", f"propagation.self_loop_weight={self_loop}")
    w = self_loop
    a, b, c = 2 + w, 5 + w, 3 + w
    normalized = [
        [w / a, 2 / np.sqrt(a * b), 0],
        [2 / np.sqrt(a * b), w / b, 3 / np.sqrt(b * c)],
        [0, 3 / np.sqrt(b * c), w / c],
    ]
    found = propagated(capsys, tmp_path, *settings)
    np.testing.assert_allclose(found, (np.eye(3) + normalized) / 2, rtol=1e-6)
    found = propagated(capsys, tmp_path, *settings, "data.weights=false")
    assert found[0, 2] == found[2, 0] > 0  # an edge that weighs 0 is one where nothing weighs


def trained(capsys, root: Path, out: Path, *settings: str) -> Path:
    given = ("--config", root / "experiment.yaml", "--set", *SMALL, *settings, "--out", out, "-q")
    status, _, err = run(capsys, "train", *given)
    assert status == 0, err
    return out


def arrays(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.npy"))}


@pytest.mark.parametrize("model", ["gcn", "sage"])
def test_import_and_train(model, tmp_path, capsys):
    g, weights = weighted.graph()
    source = weighted.snap(g, weights, tmp_path)
    beside = weighted.layouts.beside("edge-list", tmp_path)
    for name, said in (("heavy", "--weights"), ("plain", "--drop-weights")):
        command = ("data", "import", source, *beside, "--out", tmp_path / name, said)
        assert run(capsys, *command)[0] == 0
    teacher = f"teacher.model={model}"
    heavy = trained(capsys, tmp_path / "heavy", tmp_path / "1", teacher)
    plain = trained(capsys, tmp_path / "plain", tmp_path / "2", teacher)
    without = trained(capsys, tmp_path / "heavy", tmp_path / "3", teacher, "data.weights=false")
    found, expected, other = arrays(without), arrays(plain), arrays(heavy)
    assert len(expected) > 2 and found == expected
    assert other.keys() == expected.keys()
    assert all(
        other[name] != expected[name] for name in expected if "logits" in name or "prop" in name
    )
    predict = ("predict", "--run", heavy, "--out", tmp_path / "classes.npy")
    assert run(capsys, *predict)[0] == 0 and len(np.load(tmp_path / "classes.npy")) == g.num_nodes


def test_the_run_says_that_there_were_weights(tmp_path, capsys):
    g, weights = weighted.graph()
    assert (
        run(capsys, "data", "import", weighted.own(g, weights, tmp_path), "--out", tmp_path / "in")[
            0
        ]
        == 0
    )
    out = trained(capsys, tmp_path / "in", tmp_path / "run")
    assert '"weights": "given"' in (out / "metrics.json").read_text()


def test_prepared_weights_give_the_same_bits(tmp_path, capsys):
    g, weights = weighted.graph()
    assert (
        run(capsys, "data", "import", weighted.own(g, weights, tmp_path), "--out", tmp_path / "in")[
            0
        ]
        == 0
    )
    prepare = (
        "data",
        "prepare",
        "--config",
        tmp_path / "in/experiment.yaml",
        "--out",
        tmp_path / "set",
        "-q",
    )
    assert run(capsys, *prepare)[0] == 0
    first = trained(capsys, tmp_path / "in", tmp_path / "1", "train.inputs=dense")
    second = trained(
        capsys,
        tmp_path / "in",
        tmp_path / "2",
        "train.inputs=dense",
        f"data.prepared={tmp_path / 'set'}",
    )
    assert arrays(first) == arrays(second)
