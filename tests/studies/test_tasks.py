"""Studies on a graph of one's own whose nodes have several labels, or numbers."""

import json

import pytest

from infgrand_dgl import InputError
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.registry import studies
from infgrand_dgl.studies.grid import cells_of, task_of
from infgrand_dgl.training.metrics import METRICS, USUAL
from tests import tasks
from tests.studies.small import results, run

CELL = (["cora"], ["gcn"], ["transductive"])


def overrides(folder):
    return [*tasks.settings(folder), "train.epochs=2"]


@pytest.fixture
def folder(request, tmp_path):
    return tasks.write(tmp_path / "graph", request.param, nodes=80)


@pytest.mark.parametrize("study", ["table1", "ablation", "measures", "sensitivity"])
@pytest.mark.parametrize("folder", ["multilabel", "regression"], indirect=True)
def test_studies_of_a_task(folder, study, tmp_path):
    given, out = overrides(folder), tmp_path / "out"
    task = task_of(load_config("cora_gcn_transductive", given))
    metric = METRICS[USUAL[task]]
    (cell,) = cells_of(studies[study], *CELL, [1], given, task)
    assert run(study, [cell], out) == {"finished": 1, "failed": 0, "not run": 0}
    rows = results(out)
    assert set(rows["metric"]) == {metric.name} and len(rows) == 1 + len(cell.students)
    kept = json.loads((out / "cells" / cell.name / "metrics.json").read_text())
    first = next(iter(cell.students))
    found = kept[first][metric.name]["test"]["mean"]
    model = rows[rows["model"] == first.partition(",")[0]]
    assert model["test"].iloc[0] == pytest.approx(found)
    page = (out / f"{study}.md").read_text()
    assert f"Test {metric.label}" in page and "accuracy" not in page
    assert "entropy" not in {*rows["model"]} or task == "multilabel"
    assert ("### τ" in page) == (study == "sensitivity" and task == "multilabel")


def test_what_regression_does_not_have_is_left_out():
    def students(study, task):
        (cell,) = cells_of(studies[study], *CELL, [1], [], task)
        return cell.config, set(cell.students)

    _, published = students("measures", "classification")
    config, measures = students("measures", "regression")
    assert published - measures == {"agreement", "entropy", "hybrid", "renode"}
    assert published - students("measures", "multilabel")[1] == {"renode"}
    assert config.data.task == "regression"
    assert config.distillation.tau == 1 and config.distillation.kl == "forward"
    whole, left = (students("sensitivity", t)[1] for t in ("multilabel", "regression"))
    assert {name.split("=")[0] for name in whole - left} == {"infgrand, tau"}
    (cell,) = cells_of(studies["table1"], *CELL, [1], ["distillation.tau=2.0"], "regression")
    assert cell.config.distillation.tau == 2  # a user's own setting is no published one


@pytest.mark.parametrize("task", tasks.TASKS)
def test_a_graph_is_looked_at_where_it_is_a_users(task, tmp_path):
    given = overrides(tasks.write(tmp_path / "graph", task, nodes=80))
    config = load_config("cora_gcn_transductive", given)
    assert task_of(config) == task
    assert task_of(config, look=False) == "classification"
    told = load_config("cora_gcn_transductive", [*given, "data.task=regression"])
    assert task_of(told, look=False) == "regression"
    gone = load_config("cora_gcn_transductive", [*given, f"data.root={tmp_path}/gone"])
    with pytest.raises(InputError, match="gone"):
        task_of(gone)
