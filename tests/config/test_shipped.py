"""The shipped experiments: all read, and the 36 published ones hold the published numbers."""

import csv
from pathlib import Path

import pytest

from infgrand_dgl.config.reading import load_config, shipped_experiments

PUBLISHED = list(
    csv.DictReader((Path(__file__).parents[1] / "data/published_hyperparameters.csv").open())
)


@pytest.mark.parametrize("name", shipped_experiments())
def test_reads(name):
    assert load_config(name).data.name
    assert load_config(f"experiments/{name}.yaml") == load_config(name)


def test_the_general_ones_are_there():
    assert {"demo", "arxiv", "products", "papers100M"} <= set(shipped_experiments())
    assert len(PUBLISHED) == 36


@pytest.mark.parametrize("name", ["arxiv", "products", "papers100M"])
def test_twins_differ_in_their_data_alone(name):
    real, twin = load_config(name), load_config(f"{name}-synthetic")
    assert real.data.name == f"ogbn-{name}"
    assert (twin.data.name, twin.data.style) == ("synthetic", name)
    assert twin.model_copy(update={"data": real.data}) == real


def test_twin_for_two_cores():
    c = load_config("arxiv-synthetic-cpu")
    assert (c.data.style, c.data.nodes, c.train.baselines) == ("arxiv", None, ["mlp"])
    assert (c.student.layers, c.student.hidden, c.train.device) == (3, 256, "cpu")


@pytest.mark.parametrize(
    "row", PUBLISHED, ids=lambda r: f"{r['dataset']}_{r['teacher']}_{r['setting']}"
)
def test_published_settings(row):
    c = load_config(f"{row['dataset']}_{row['teacher']}_{row['setting']}")
    assert (c.data.name, c.teacher.model, c.data.setting) == (
        row["dataset"],
        row["teacher"],
        row["setting"],
    )
    d = c.distillation
    found = {
        "layers": c.teacher.layers,
        "hidden": c.teacher.hidden,
        "teacher_dropout": c.teacher.dropout,
        "student_dropout": c.student.dropout,
        "student_lr": c.student.lr,
        "lambda": d.lambda_,
        "tau": d.tau,
        "delta1": d.delta1,
        "delta2": d.delta2,
        "gamma1": d.gamma1,
        "gamma2": d.gamma2,
        "hops": c.propagation.hops,
    }
    assert found == {key: float(row[key]) for key in found}
    assert (c.student.layers, c.student.hidden, c.student.norm) == (
        c.teacher.layers,
        c.teacher.hidden,
        "none",
    )
    assert (c.teacher.lr, c.teacher.weight_decay, c.student.weight_decay) == (0.01, 5e-4, 5e-4)
    assert (c.teacher.heads, c.teacher.attention_dropout) == (4, 0.3)
    assert (c.train.epochs, c.train.patience, c.train.seeds) == (500, 50, list(range(2022, 2027)))
    assert (c.propagation.pooling, c.propagation.self_loop_weight) == ("mean", 2)
    assert (c.influence.hops, c.influence.normalization) == (2, "minmax")
    assert (d.kl, d.edge_weighting, c.data.split_rate) == ("forward", "edges", 0.2)
