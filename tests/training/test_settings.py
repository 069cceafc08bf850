"""What teacher, student and plain MLP have in common: what they may see, and their settings."""

from dataclasses import replace

import pytest
import torch

from infgrand_dgl.data import load_dataset
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training import student, teacher
from infgrand_dgl.training.optimizer import Adam

MODELS = ["mlp", "teacher", "student"]
RUNTIME = Runtime.on("cpu")


def train(model, config, dataset):
    """What every epoch recorded."""
    epochs: list[dict[str, float]] = []
    last = (RUNTIME, 7, lambda epoch, values: epochs.append(values))
    if model == "mlp":
        config = config.model_copy(update={"method": "mlp"})
        student.train_student(config, dataset, dataset.features, None, None, *last)
    elif model == "teacher":
        teacher.train_teacher(config, dataset, *last)
    else:
        x, ones = dataset.dense_features(), torch.ones(dataset.num_nodes)
        student.train_student(config, dataset, x, ones, x[:, :3], *last)
    return epochs


@pytest.mark.parametrize("model", MODELS)
def test_no_label_outside_the_training_nodes_reaches_the_loss(model, tiny_config):
    dataset = load_dataset(tiny_config)
    labels = (dataset.labels + 1) % dataset.num_classes
    labels[dataset.train] = dataset.labels[dataset.train]
    changed = replace(dataset, labels=labels)
    found = [train(model, tiny_config, each) for each in (dataset, changed)]
    assert [epoch["loss"] for epoch in found[0]] == [epoch["loss"] for epoch in found[1]]


@pytest.mark.parametrize("model", MODELS)
def test_test_nodes_are_not_looked_at_before_the_training_has_ended(model, tiny_config):
    dataset = load_dataset(tiny_config)
    labels = dataset.labels.clone()
    labels[dataset.test] = (labels[dataset.test] + 1) % dataset.num_classes
    found = train(model, tiny_config, dataset)
    assert found == train(model, tiny_config, replace(dataset, labels=labels))
    assert {name for name in found[0] if not name.endswith("loss")} == {"val_accuracy"}


@pytest.mark.parametrize("model", MODELS)
def test_optimizer_epochs_and_patience_are_as_configured(model, tiny_config, monkeypatch):
    own = {"lr": 0.03, "weight_decay": 0.07}
    config = tiny_config.replace("teacher" if model == "teacher" else "student", **own)
    config = config.replace("train", epochs=17, patience=11)
    called: dict = {}
    for module in (student, teacher):
        monkeypatch.setattr(module, "fit", lambda model, task, **options: called.update(options))
    train(model, config, load_dataset(config))
    adam = called["optimizer"]
    assert type(adam) is Adam and own.items() <= adam.defaults.items()
    assert (called["epochs"], called["patience"]) == (17, 11)
