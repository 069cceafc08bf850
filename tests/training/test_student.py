from typing import get_args

import pytest
import torch
from torch.nn.modules.module import register_module_forward_hook

from infgrand_dgl import DistillationLoss, supervised_loss
from infgrand_dgl.data import load_dataset
from infgrand_dgl.distillation.loss import Form
from infgrand_dgl.nn.mlp import MLP
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training import student as training
from infgrand_dgl.training.loop import seed_everything

RUNTIME, SEED = Runtime.on("cpu"), 7


@pytest.fixture
def dataset(tiny_config):
    return load_dataset(tiny_config)


@pytest.fixture
def given(dataset):
    """Inputs, influence and teacher's logits that nothing else could be mistaken for."""
    N = dataset.num_nodes
    return torch.randn(N, 12), torch.rand(N), 3 * torch.randn(N, 3)


def distil(config, dataset, given):
    """The student, and what each epoch recorded."""
    inputs, influence, logits = given
    epochs: list[dict[str, float]] = []

    def note(epoch, values):
        epochs.append(values)

    student = training.train_student(
        config, dataset, inputs, influence, logits, RUNTIME, SEED, note
    )
    return student, epochs


@pytest.mark.parametrize("edge_weighting", ["neighborhood", "edges"])
@pytest.mark.parametrize("kl", ["forward", "reverse"])
@pytest.mark.parametrize("loss", get_args(Form))
def test_objective(loss, kl, edge_weighting, tiny_config, dataset, given):
    """L = λ·L_s + (1 - λ)·L_d: the first epoch records what both losses say of the new MLP."""
    knobs = {"gamma1": 0.7, "gamma2": 1.3, "tau": 1.7, "kl": kl, "edge_weighting": edge_weighting}
    config = tiny_config.replace("student", dropout=0.0).replace(
        "distillation", lambda_=0.3, delta1=0.6, delta2=1.9, loss=loss, **knobs
    )
    _, epochs = distil(config, dataset, given)

    inputs, influence, logits = given
    seed_everything(SEED)
    with torch.no_grad():
        out = MLP(12, config.student.hidden, 3, layers=config.student.layers)(inputs)
    distilled = DistillationLoss(dataset.csr, logits, influence, **knobs)(out)
    t = dataset.train
    supervised = supervised_loss(out[t], dataset.labels[t], influence[t], delta1=0.6, delta2=1.9)
    assert epochs[0]["distillation_loss"] == pytest.approx(float(distilled), rel=1e-4)
    assert epochs[0]["supervised_loss"] == pytest.approx(float(supervised), rel=1e-4)
    total = 0.3 * supervised + 0.7 * distilled
    assert epochs[0]["loss"] == pytest.approx(float(total), rel=1e-4)


@pytest.mark.parametrize("loss", get_args(Form))
def test_form_of_the_loss(loss, tiny_config, dataset, given, monkeypatch):
    """Equal in value, so it takes a look at which one ran."""
    forms = set()
    forward = DistillationLoss.forward

    def noted(self, logits, *rows):
        forms.add(self.form)
        return forward(self, logits, *rows)

    monkeypatch.setattr(DistillationLoss, "forward", noted)
    distil(tiny_config.replace("distillation", loss=loss), dataset, given)
    assert forms == {loss}


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_model_is_as_configured(norm, tiny_config, dataset, given):
    config = tiny_config.replace("student", layers=3, hidden=5, dropout=0.3, norm=norm)
    shape = {"hidden": 5, "classes": 3, "layers": 3, "norm": norm}
    student, _ = distil(config, dataset, given)
    mlp, _ = distil(
        config.model_copy(update={"method": "mlp"}), dataset, (dataset.features, None, None)
    )
    assert student.shape == {"in_features": 12, **shape}
    assert mlp.shape == {"in_features": dataset.num_features, **shape}
    assert student.dropout.p == mlp.dropout.p == 0.3


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("float32", torch.float32), ("tf32", torch.float32), ("bfloat16", torch.bfloat16)],
)
def test_precision(precision, dtype, tiny_config, dataset, given):
    """bfloat16 is for the model's products alone: weights stay float32."""
    seen = set()

    def note(module, args, out):
        if isinstance(module, MLP):
            seen.add((module.training, out.dtype))

    with register_module_forward_hook(note):
        student, _ = distil(tiny_config.replace("train", precision=precision), dataset, given)
    assert seen == {(True, dtype), (False, dtype)}
    assert {p.dtype for p in student.parameters()} == {torch.float32}
