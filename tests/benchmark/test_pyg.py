"""PyG's layers compute what ours do: the same logits with the same weights, and they learn."""

import pytest
import torch

from infgrand_dgl.benchmark import pyg
from infgrand_dgl.benchmark.train import UNLIMITED
from infgrand_dgl.data import load_dataset
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training.teacher import build_teacher
from tests.conftest import random_undirected

# Parameters of a layer, and how ours are called.
NAMES = {
    "gcn": {"lin.weight": "weight", "bias": "bias"},
    "sage": {"lin_l.weight": "fc_neigh.weight", "lin_l.bias": "bias"},
    "gat": {"lin.weight": "fc.weight", "att_src": "attn_l", "att_dst": "attn_r", "bias": "bias"},
}
CASES = [(name, form) for name, forms in pyg.FORMS.items() for form in forms]


@pytest.mark.parametrize(("name", "form"), CASES)
def test_logits_are_ours(name, form, tiny_config, device):
    config = tiny_config.replace("teacher", model=name, layers=3)
    data = load_dataset(config)
    ours = build_teacher(config.teacher, data.num_features, data.num_classes).to(device).eval()
    theirs = pyg.model_of(config, data.num_features, data.num_classes).to(device).eval()
    for parameter in ours.parameters():  # none is zero, as biases are at first
        torch.nn.init.normal_(parameter)
    state = {
        f"layers.{k}.conv.{key}": ours.state_dict()[f"layers.{k}.{value}"]
        for k in range(3)
        for key, value in NAMES[name].items()
    }
    if name == "gcn":
        state = {k: v.T if k.endswith("weight") else v for k, v in state.items()}
    theirs.load_state_dict(state)
    csr, x = data.csr.to(device), data.dense_features(torch.device(device))
    expected, found = ours(csr, x), theirs(pyg.graph_of(name, csr, form), x)
    assert (found - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.parametrize(("name", "form"), CASES)
def test_an_epoch_is_one_of_the_training_loop(name, form, tiny_config, device):
    config = tiny_config.replace("teacher", model=name, lr=0.05)
    config = config.replace("train", epochs=30, patience=30)
    losses = []
    runtime = Runtime(torch.device(device), UNLIMITED)
    data = load_dataset(config)
    pyg.train(config, data, runtime, 3, form, lambda epoch, values: losses.append(values["loss"]))
    assert len(losses) == 30 and losses[-1] < 0.8 * losses[0]


def test_messages_take_memory_and_adjacencies_none(tiny_config):
    csr = load_dataset(tiny_config).csr
    assert pyg.message_bytes(csr, 64, "edge_index") > pyg.message_bytes(csr, 64, "adj")


@pytest.mark.parametrize("weighted", [False, True])
def test_a_layer_without_weights_is_no_contender(weighted, monkeypatch):
    monkeypatch.setattr(pyg.importlib.util, "find_spec", lambda name: name)
    csr = random_undirected(20, 40, weighted=weighted)
    assert bool(pyg.missing("sage", csr)) is weighted
    assert not pyg.missing("gcn", csr) and not pyg.missing("gat", csr)
