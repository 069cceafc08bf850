"""What methods need of a trained teacher beside its logits."""

from dataclasses import replace

import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.config.schema import TeacherConfig
from infgrand_dgl.data import load_dataset, with_split
from infgrand_dgl.serving import save_weights
from infgrand_dgl.system import arrays
from infgrand_dgl.system.memory import Budget
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training import readings
from infgrand_dgl.training.readings import hidden_states, load_teacher, perturbed_logits
from infgrand_dgl.training.teacher import build_teacher, teacher_logits
from tests.nn.models import AROUND

ROOMY, TIGHT = Budget(1 << 50, 1 << 50), Budget(1, 1)
INDUCTIVE = {"setting": "inductive", "split_rate": 0.5}


def made(tiny_config, device="cpu", **options):
    config = tiny_config.replace("data", **INDUCTIVE)
    config = config.replace("teacher", layers=3, hidden=8, heads=2, **options)
    dataset = with_split(load_dataset(config), config.data, 1)
    model = build_teacher(config.teacher, dataset.num_features, dataset.num_classes)
    return config, dataset, model.to(device).eval()


@pytest.mark.parametrize("budget", [ROOMY, TIGHT])
@pytest.mark.parametrize("backend", ["native", "dgl"])
@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("model", ["gcn", "gat"])
def test_the_last_layer_makes_the_logits_of_the_hidden_states(
    model, around, backend, budget, tiny_config
):
    _, dataset, teacher = made(tiny_config, model=model, backend=backend, **around)
    runtime = Runtime(torch.device("cpu"), budget)
    hidden = hidden_states(teacher, dataset, runtime, 1)
    assert hidden.shape == (dataset.num_nodes, 8) and hidden.dtype == torch.float32
    observed = dataset.parts.observed
    with torch.no_grad():
        if teacher.head is not None:
            found = teacher.head(hidden)
            expected = teacher_logits(teacher, dataset, runtime)
        else:  # of the observed nodes, whose graph holds what their last layer reads
            view = dataset.observed_view()
            graph = view.csr if backend == "native" else view.graph
            found = teacher.layer(2, graph, hidden[observed])
            expected = teacher_logits(teacher, dataset, runtime)[observed]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("features", ["sparse", "dense"])
def test_perturbed_logits_are_of_one_draw_of_noise(features, tiny_config, device):
    _, dataset, teacher = made(tiny_config, device)
    x = dataset.dense_features()
    dataset = replace(dataset, features=x.to_sparse_csr() if features == "sparse" else x)
    runtime = Runtime(torch.device(device), ROOMY)
    found = perturbed_logits(teacher, dataset, runtime, 5)
    noise = readings._noisy(dataset, runtime, 5) - x
    assert abs(float(noise.mean())) < 0.05 and abs(float(noise.std()) - 1) < 0.05
    csr = dataset.csr.to(device)
    expected = teacher(csr, (x + noise).to(device)).detach().cpu()
    observed = dataset.parts.observed
    view, part = dataset.observed_view(), x[observed]
    own = readings._noisy(view, runtime, 5) - part
    seen = teacher(view.csr.to(device), (part + own).to(device)).detach().cpu()
    expected[observed] = seen
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(perturbed_logits(teacher, dataset, runtime, 5), found)
    assert not torch.equal(perturbed_logits(teacher, dataset, runtime, 6), found)


def test_noisy_features_that_do_not_fit_are_a_file(tiny_config, tmp_path):
    _, dataset, teacher = made(tiny_config)
    runtime = Runtime(torch.device("cpu"), TIGHT, tmp_path)
    noisy = readings._noisy(dataset, runtime, 3)
    assert arrays.is_mapped(noisy) and not list(tmp_path.glob("*.npy"))
    roomy = Runtime(torch.device("cpu"), ROOMY, tmp_path)
    assert torch.equal(noisy, readings._noisy(dataset, roomy, 3))
    expected = perturbed_logits(teacher, dataset, roomy, 3)
    found = perturbed_logits(teacher, dataset, runtime, 3)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("around", AROUND)
def test_a_teacher_from_its_file(around, tiny_config, tmp_path):
    config, dataset, teacher = made(tiny_config, **around)
    teacher.set_units(torch.rand(3), torch.rand(3) + 1)
    save_weights(tmp_path / "teacher.safetensors", teacher)
    shape = dataset.num_features, dataset.num_classes
    given = tmp_path / "teacher.safetensors", config.teacher, shape, torch.device("cpu")
    again = load_teacher(*given)
    x = dataset.dense_features()
    assert torch.equal(again(dataset.csr, x), teacher(dataset.csr, x)) and not again.training


def test_one_layer_has_no_hidden_states(tiny_config):
    _, dataset, _ = made(tiny_config)
    config = TeacherConfig(layers=1)
    teacher = build_teacher(config, dataset.num_features, 3).eval()
    with pytest.raises(InputError, match="^teacher.layers: 1: there is no hidden layer"):
        hidden_states(teacher, dataset, Runtime(torch.device("cpu"), ROOMY), 1)
