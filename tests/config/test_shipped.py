"""The shipped experiments: all read, and the 36 published ones hold the published numbers."""

import csv
from pathlib import Path

import pytest

from infgrand_dgl.config.reading import load_config, shipped_experiments
from infgrand_dgl.registry import methods

PUBLISHED = list(
    csv.DictReader((Path(__file__).parents[1] / "data/published_hyperparameters.csv").open())
)


@pytest.mark.parametrize("name", shipped_experiments())
def test_reads(name):
    assert load_config(name).data.name
    assert load_config(f"experiments/{name}.yaml") == load_config(name)


def test_the_general_ones_are_there():
    shipped = shipped_experiments()
    assert {"demo", "arxiv", "products", "papers100M", "rivals/krd_cora_gat_inductive"} <= set(
        shipped
    )
    assert not any(name.startswith("base/") for name in shipped)
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


RIVALS = [name for name in shipped_experiments() if name.startswith("rivals/")]


@pytest.mark.parametrize("name", RIVALS)
def test_rivals_are_what_their_names_say(name):
    c = load_config(name)
    method, dataset, *cell = name.removeprefix("rivals/").split("_")
    if not cell:  # no teacher: named by what the student is, and transductive
        cell = [c.teacher.model, "transductive"]
        assert not methods[c.method].needs_teacher
        linear = c.method == "mlp" and c.student.layers == 1
        kinds = {("last", True): "sgc", ("mean", True): "s2gc"}
        named = kinds.get((c.propagation.pooling, linear), c.student.model)
        assert method == (c.method if c.method != "mlp" else named)
    else:
        assert c.method == method
    assert [c.data.name, c.teacher.model, c.data.setting] == [dataset, *cell]
    own = c.student.layers, c.student.hidden
    if method in ("ffg2m", "krd", "hgmd"):
        assert own == (c.teacher.layers, c.teacher.hidden)


def test_settings_of_rivals_are_the_published_ones():
    """One line of each table, the dropouts of FF-G2M in their places."""
    given = "layers", "hidden", "dropout", "lr", "weight_decay"
    expected = {
        "krd_citeseer_sage_transductive": ((2, 1024, 0.4, 0.01, 5e-4), 0.6, 0.0, 0.8),
        "krd_cora_sage_inductive": ((2, 512, 0.6, 0.005, 0.001), 0.5, 0.0, 0.8),
        "hgmd_citeseer_gcn_transductive": ((2, 256, 0.6, 0.01, 5e-4), 0.3, 0.0, 1.1),
        "ffg2m_cora_sage_transductive": ((3, 512, 0.4, 0.01, 5e-4), 0.3, 0.5, 1.3),
        "ffg2m_amazon-photo_gcn_transductive": ((3, 2048, 0.5, 0.001, 5e-4), 0.6, 0.1, 1.3),
        "glnn_cora_sage_transductive": ((2, 128, 0.6, 0.01, 0.005), 0.0, 0.0, 1.0),
    }
    for name, (student, dropout, lambda_, tau) in expected.items():
        c = load_config(f"rivals/{name}")
        assert tuple(getattr(c.student, key) for key in given) == student, name
        assert c.teacher.dropout == dropout, name
        assert (c.distillation.lambda_, c.distillation.tau) == (lambda_, tau), name
    assert load_config("rivals/krd_cora_gcn_transductive").krd.warm_up == 50
    h = load_config("rivals/hgmd_citeseer_gcn_transductive").hgmd
    assert (h.variant, h.alpha, h.beta) == ("mixup", 5.0, 0.4)
