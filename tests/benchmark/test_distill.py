import json
from typing import get_args

import pytest
import torch

from infgrand_dgl.benchmark import distill
from infgrand_dgl.cli import main
from infgrand_dgl.config.schema import DistillationConfig
from infgrand_dgl.distillation.loss import DistillationLoss, Form
from tests import tasks
from tests.benchmark.conftest import MODELS, SMALL, check_rows, run
from tests.conftest import random_undirected


@pytest.mark.parametrize("kl", ["forward", "reverse"])
def test_forms_and_steps(kl, tmp_path):
    found = run("distill", "--kl", kl, *MODELS, tmp_path=tmp_path)
    rows = {row["method"]: row for row in found["rows"]}
    assert list(rows) == [*get_args(Form), "edge_gather", "step_collapsed", "step_supervised"]
    check_rows(found["rows"])
    for method, row in rows.items():
        if method.startswith("step"):
            assert "max_abs_difference" not in row
        else:  # of gradients of about 1e-3
            assert row["max_abs_difference"] < 1e-8
    size = found["size"]
    assert (size["classes"], size["layers"], size["hidden"], size["kl"]) == (4, 2, 8, kl)


def test_the_published_student_by_default(tmp_path):
    size = run("distill", tmp_path=tmp_path)["size"]
    assert (size["layers"], size["hidden"], size["kl"]) == (3, 256, "forward")


@pytest.mark.parametrize("kl", ["forward", "reverse"])
@pytest.mark.parametrize("edge_weighting", ["edges", "neighborhood"])
@pytest.mark.parametrize("weighted", [False, True])
def test_edge_gather_is_the_loss(weighted, kl, edge_weighting):
    csr = random_undirected(30, 60, weighted=weighted)
    h, teacher = torch.randn(2, 30, 5)
    influence = torch.rand(30)
    settings = {"gamma1": 0.7, "gamma2": 0.4, "tau": 1.5, "kl": kl}
    settings["edge_weighting"] = edge_weighting
    d = DistillationConfig(**settings)
    gather = distill.edge_gather(csr, teacher, influence, d)
    loss = DistillationLoss(csr, teacher, influence, **settings)
    expected, found = (distill.value_and_gradient(f, h) for f in (loss, gather))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_labels_that_are_no_classes(task, tmp_path, capsys):
    """The forms that there are agree; what is made for classes says so."""
    config = tmp_path / "own.yaml"
    config.write_text(
        "data: {name: directory, root: " + str(tasks.write(tmp_path / "g", task)) + "}"
    )
    out = tmp_path / "b.json"
    command = ["benchmark", "distill", "--config", str(config), *MODELS, "--device", "cpu"]
    assert main([*command, "--repeat", "1", "--json", str(out)]) == 0
    rows = {row["method"]: row for row in json.loads(out.read_text())["rows"]}
    skipped = {name: row["skipped"] for name, row in rows.items() if "skipped" in row}
    assert skipped == {"edge_kl": "is for classes", "edge_gather": "is for classes"}
    assert rows["apply_edges"]["max_abs_difference"] < 1e-7
    assert "step_collapsed" in capsys.readouterr().out


def test_a_gather_that_does_not_fit_is_skipped(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(distill, "EDGE_TENSORS", 1 << 40)
    rows = run("distill", *MODELS, tmp_path=tmp_path)["rows"]
    skipped = [row["method"] for row in rows if "skipped" in row]
    assert skipped == ["edge_gather"]
    assert "edge_gather: not run, needs" in capsys.readouterr().out


def test_bad_sizes_are_one_line(capsys):
    assert main(["benchmark", "distill", *SMALL, "--layers", "0"]) == 2
    err = capsys.readouterr().err
    assert "student.layers: expected a number >= 1, found 0" in err and err.count("\n") == 1
