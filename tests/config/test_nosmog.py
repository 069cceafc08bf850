"""NOSMOG's shipped experiments hold the published numbers."""

import csv
from pathlib import Path

import pytest

from infgrand_dgl.config.reading import load_config

ROWS = list(csv.DictReader((Path(__file__).parents[1] / "data/published_nosmog.csv").open()))
DATASETS = {"cora": "cora", "citeseer": "citeseer", "a-photo": "amazon-photo"}
SETTINGS = {"tran": "transductive", "ind": "inductive"}
FOLDER = Path(__file__).parents[2] / "experiments/rivals"


def row_of(setting, dataset, model):
    key = {"setting": setting, "dataset": dataset, "model": model}
    (row,) = (row for row in ROWS if key.items() <= row.items())
    return row


@pytest.mark.parametrize("model", ["GCN", "SAGE", "GAT"])
@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_published(setting, dataset, model):
    name, full = DATASETS[dataset], SETTINGS[setting]
    c = load_config(str(FOLDER / f"nosmog_{name}_{model.lower()}_{full}.yaml"))
    assert (c.method, c.data.name, c.data.setting) == ("nosmog", name, full)
    assert (c.distillation.lambda_, c.distillation.tau, c.train.epochs) == (0, 1, 200)
    t, s, n = c.teacher, c.student, c.nosmog
    row = row_of(setting, dataset, model)
    taught = {"num_layers": t.layers, "hidden_dim": t.hidden, "dropout_ratio": t.dropout,
              "weight_decay": t.weight_decay}  # fmt: skip
    if model == "GAT":
        taught |= {"num_heads": t.heads, "attn_dropout_ratio": t.attention_dropout}
    assert t.model == model.lower() and t.lr == 0.01
    assert taught == {key: float(row[key]) for key in taught}
    if model == "SAGE":
        assert t.fanouts == [int(n) for n in row["fan_out"].split(",")] and t.batch_size == 512
    row = row_of(setting, dataset, "MLP")
    found = {"num_layers": s.layers, "hidden_dim": s.hidden, "learning_rate": s.lr,
             "dropout_ratio": s.dropout, "weight_decay": s.weight_decay,
             "dw_walk_length": n.walk_length, "dw_num_walks": n.walks,
             "dw_window_size": n.window, "dw_iter": n.iterations, "dw_emb_size": n.dimension,
             "adv_eps": n.epsilon, "feat_distill_weight": n.similarity}  # fmt: skip
    assert found == {key: float(row[key]) for key in found}
    assert (n.adversarial, n.steps, s.batch_size) == (0.1, 5, 512)
