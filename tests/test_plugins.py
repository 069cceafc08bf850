"""A package of somebody else's adds a measure, a method and a data source, and all takes them."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

PLUGIN = '''
import numpy as np
import torch
from torch.nn.functional import cross_entropy

from infgrand_dgl.data import NodeDataset, Split
from infgrand_dgl.distillation.objective import Objective
from infgrand_dgl.graph import CSRGraph
from infgrand_dgl.registry import Measure, Method, Source, measures, methods, sources


def squared_degree(inputs):
    return (inputs.csr.row_lengths.double() - 1) ** 2


def hard_labels(lesson):
    """Cross-entropy with the teacher's classes, weighted by influence, on all nodes."""
    rows = {"labels": lesson.logits.argmax(dim=1).cpu(), "weights": lesson.influence.float().cpu()}
    count = len(lesson.logits)

    def losses(student, batch):
        ce = cross_entropy(student(batch["x"]), batch["labels"], reduction="none")
        return {"loss": (ce * batch["weights"]).sum() / count}

    return Objective(rows, losses)


def cliques(config, root):
    """Sixty cliques of five nodes; a node's class is a feature of its, with noise."""
    rng = np.random.default_rng(0)
    i, j = np.triu_indices(5, 1)
    first = 5 * np.arange(60)[:, None]
    csr = CSRGraph.from_edges((first + i).ravel(), (first + j).ravel(), 300)
    labels = torch.arange(300) // 5 % 3
    x = torch.eye(3)[labels] + torch.from_numpy(rng.normal(scale=0.5, size=(300, 3))).float()
    ids = torch.from_numpy(rng.permutation(300)).split([60, 100, 140])
    return NodeDataset("cliques", csr, x, labels, 3, Split(*ids), {"source": "toy"})


measures.add(Measure("squared-degree", label="Squared degree", scores=squared_degree))
methods.add(
    Method(
        "hard-labels",
        label="Hard labels",
        objective=hard_labels,
        needs_influence=True,
        propagated=True,
    )
)
sources.add(Source("cliques", label="Cliques", about="sixty cliques", load=cliques))
'''
EXPERIMENT = {
    "method": "hard-labels",
    "data": {"name": "cliques"},
    "influence": {"measure": "squared-degree"},
    "teacher": {"hidden": 8, "dropout": 0.0, "lr": 0.05},
    "student": {"hidden": 8, "dropout": 0.0, "lr": 0.05, "weight_decay": 0.0},
    "train": {"epochs": 60, "seeds": [1], "device": "cpu", "baselines": ["mlp"]},
}


def install(name: str, code: str, folder: Path) -> None:
    """As pip does: a module, and what its distribution says of it."""
    (folder / f"{name}.py").write_text(code)
    installed = folder / f"{name}-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(f"[infgrand_dgl.plugins]\n{name} = {name}\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("plugin")
    install("toy", PLUGIN, folder)
    (folder / "toy.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    return folder


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "infgrand_dgl", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )


def done(folder: Path, *arguments: str) -> str:
    finished = command(folder, *arguments)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def trained(folder) -> tuple[str, Path]:
    return done(folder, "train", "--config", "toy.yaml", "--out", "run"), folder / "run"


@pytest.fixture(scope="module")
def studied(folder) -> Path:
    """Study `measures`, with the toy's data in the place of Cora."""
    small = ["teacher.hidden=8", "student.hidden=8", "teacher.layers=2", "student.layers=2"]
    more = ["data.name=cliques", "method=hard-labels", "train.epochs=4", "student.weight_decay=0"]
    asked = ["--datasets", "cora", "--teachers", "gcn", "--seeds", "1", "--device", "cpu"]
    done(folder, "study", "measures", *asked, "--set", *small, *more, "--out", "study")
    return folder / "study"


def test_train(trained):
    said, run = trained
    assert "Hard labels" in said
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["method"] == "hard-labels" and metrics["dataset"]["name"] == "cliques"
    # A node's features say its class less well than those of its clique, which the student reads.
    accuracy = {model: metrics[model]["test"]["mean"] for model in ("student", "mlp")}
    assert accuracy["student"] > 0.95 > accuracy["mlp"]
    assert np.load(run / "influence.npy").tolist() == [1.0] * 300  # all have four neighbours


def test_study(studied):
    with (studied / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert "squared-degree" in {row["model"] for row in rows if row["status"] == "finished"}
    page = (studied / "measures.md").read_text()
    assert "Squared degree" in page
    assert "Squared degree" in (studied / "measures.svg").read_text()


def test_report(folder, trained, studied):
    done(folder, "report", "run", "study", "--out", "page.html")
    page = (folder / "page.html").read_text()
    assert "Student (Hard labels)" in page and "Squared degree" in page


def test_listed(folder):
    lines = done(folder, "data", "list").splitlines()
    assert any(line.split() == ["cliques", "sixty", "cliques"] for line in lines)


def test_unknown_name(folder):
    setting = "influence.measure=squared-degre"
    failed = command(folder, "train", "--config", "toy.yaml", "--set", setting, "--out", "none")
    assert failed.returncode == 2
    (line,) = failed.stderr.splitlines()
    assert "influence.measure: expected one of agreement, cosine" in line
    assert line.endswith("found 'squared-degre'; did you mean 'squared-degree'?")


def test_broken_plugin(tmp_path):
    install("broken", "import no_such_module_at_all", tmp_path)
    failed = command(tmp_path, "train", "--config", "demo", "--out", "none")
    assert failed.returncode == 2
    assert "infgrand_dgl.plugins: broken (broken) cannot be loaded" in failed.stderr
    assert "no_such_module_at_all" in failed.stderr and "Traceback" not in failed.stderr


def test_two_of_one_name(tmp_path):
    code = (
        "from infgrand_dgl.registry import Measure, measures\n"
        "measures.add(Measure('degree', label='Mine', scores=None))\n"
    )
    install("twice", code, tmp_path)
    settings = ["--set", "influence.measure=degree", "train.epochs=1"]
    failed = command(tmp_path, "train", "--config", "demo", *settings, "--out", "none")
    assert failed.returncode == 2
    assert "there are two of the measure 'degree'" in failed.stderr
