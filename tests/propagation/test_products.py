"""Propagation of the first layer's products, against that of the features."""

import re
from dataclasses import replace

import pytest
import torch

from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import load_dataset
from infgrand_dgl.errors import InputError
from infgrand_dgl.features.sparse import SparseMatrix
from infgrand_dgl.nn.mlp import MLP
from infgrand_dgl.ops import propagate, propagate_reference
from infgrand_dgl.propagation import random
from infgrand_dgl.propagation.inputs import student_inputs
from infgrand_dgl.propagation.products import PropagatedMatrix
from infgrand_dgl.system.memory import Budget, resident
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training import placement
from infgrand_dgl.training.settings import for_task
from infgrand_dgl.training.student import train_student

HERE = Runtime.on("cpu")
INSIDE = ["propagation.of=products", "random_propagation.mask=0.5", "propagation.hops=3"]


def configured(tiny, *overrides):
    config = load_config(tiny, [*INSIDE, *overrides])
    return config, load_dataset(config, 1).observed_view()


@pytest.mark.parametrize("inputs", ["dense", "sparse"])
@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_student_reads_the_same_view(layers, pooling, inputs, device, tiny, monkeypatch):
    """Values and gradients: in float64, of the features masked, propagated and then multiplied."""
    config, view = configured(tiny, f"propagation.pooling={pooling}", f"train.inputs={inputs}")
    masks = []

    def noted(graph, x, *, mask, **settings):
        masks.append(mask)
        return propagate(graph, x, mask=mask, **settings)

    monkeypatch.setattr(random, "propagate", noted)
    made = PropagatedMatrix.of(config, view, Runtime.on(device))
    assert isinstance(made.x, SparseMatrix) == (inputs == "sparse")
    student = MLP(view.num_features, 5, view.num_classes, layers=layers).to(device)
    found, upstream = student(made.masked(0.5)), torch.randn(view.num_nodes, view.num_classes)
    found.backward(upstream.to(device))

    p, (mask,) = config.propagation, masks
    assert mask.device == found.device and 0.3 < float(mask.double().mean()) < 0.7
    settings = {"hops": p.hops, "pooling": pooling, "self_loop_weight": p.self_loop_weight}
    x = mask.cpu()[:, None] * view.dense_features().double()
    other = MLP(view.num_features, 5, view.num_classes, layers=layers).double()
    other.load_state_dict(student.state_dict())
    right = other(propagate_reference(view.csr, x, **settings))
    right.backward(upstream.double())
    torch.testing.assert_close(found.double().cpu(), right, rtol=1e-4, atol=1e-5)
    for (name, ours), theirs in zip(student.named_parameters(), other.parameters(), strict=True):
        assert ours.grad is not None and theirs.grad is not None
        expected = theirs.grad.to(device)
        bound = 1e-5 * float(expected.abs().max())
        torch.testing.assert_close(ours.grad.double(), expected, rtol=1e-4, atol=bound, msg=name)


def test_every_view_is_another(tiny):
    config, view = configured(tiny)
    made, w = PropagatedMatrix.of(config, view, HERE), torch.rand(view.num_features, 2)
    whole = made @ w
    assert not torch.equal(made.masked(0.5) @ w, made.masked(0.5) @ w)
    mean = torch.stack([made.masked(0.5) @ w for _ in range(1500)]).mean(0)
    assert float((mean - 0.5 * whole).abs().max()) < 0.15 * float(whole.max())
    assert torch.equal(made.masked(0) @ w, whole)


@pytest.mark.parametrize("inputs", ["dense", "sparse"])
def test_rows_of_it(inputs, device, tiny):
    config, view = configured(tiny, f"train.inputs={inputs}")
    made = PropagatedMatrix.of(config, view, Runtime.on(device))
    rows, w = torch.tensor([7, 3, 3, 99], device=device), torch.randn(view.num_features, 4)
    some = made[torch.arange(100, device=device)][rows]
    p = config.propagation
    right = propagate_reference(
        view.csr,
        view.dense_features().double(),
        hops=p.hops,
        pooling=p.pooling,
        self_loop_weight=p.self_loop_weight,
    )
    assert (made.shape, some.shape) == ((view.num_nodes, len(w)), (4, len(w)))
    found = (some @ w.to(device)).double().cpu()
    torch.testing.assert_close(found, (right @ w.double())[rows.cpu()], rtol=1e-4, atol=1e-5)


def trained(config, view):
    inputs, scores = student_inputs(config, view, HERE), []
    logits = view.dense_features()[:, : view.num_classes].clone()
    influence = torch.linspace(0, 1, view.num_nodes)
    taught = {"perturbed": logits.flip(0)} if config.method == "krd" else {}

    def noted(_, values):
        scores.append(values)

    given = (inputs, influence, logits, HERE, 1, noted)
    return train_student(config, view, *given, **taught), inputs, scores


REREAD = ["random_propagation.views=2", "consistency.weight=0.5"]


@pytest.mark.parametrize(
    ("method", "overrides"),
    [
        ("infgrand", REREAD),
        ("grand", REREAD),
        ("mlp", []),
        ("glnn", []),
        ("ffg2m", []),
        ("krd", ["krd.warm_up=2"]),
        ("hgmd", []),
    ],
)
def test_without_masks_training_is_that_on_propagated_features(method, overrides, tiny):
    """The same losses and, of every epoch, the same scores; the weights to rounding."""
    overrides = [*overrides, "random_propagation.mask=0", "train.epochs=5", "student.dropout=0"]
    config, view = configured(tiny, f"method={method}", "student.features=propagated", *overrides)
    inside, inputs, scores = trained(config, view)
    plain, _, others = trained(config.replace("propagation", of="features"), view)
    torch.testing.assert_close(inside(inputs), plain(inputs), rtol=1e-3, atol=1e-4)
    for ours, theirs in zip(scores, others, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=2e-2)  # two nodes of a hundred


def test_what_an_epoch_records_is_what_is_served(tiny):
    """With masks and dropout of features, too: of the best epoch, by reading the inputs."""
    overrides = ["method=grand", "train.epochs=20", "student.input_dropout=0.3"]
    config, view = configured(tiny, *overrides)
    model, inputs, scores = trained(config, view)
    served = (model(inputs)[view.val].argmax(1) == view.labels[view.val]).double().mean()
    assert float(served) == pytest.approx(max(s["val_accuracy"] for s in scores), abs=1e-6)


def test_such_a_student_is_not_compiled(tiny):
    config, view = configured(tiny, "method=grand", "train.epochs=3")
    plain, inputs, _ = trained(config, view)
    other, _, _ = trained(config.replace("train", compile=True), view)
    assert torch.equal(plain(inputs), other(inputs))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("student.model=sign", "expected student.model: mlp; found sign"),
        ("student.batch_size=50", "expected student.batch_size: null; found 50"),
        ("propagation.pooling=max", "expected pooling: mean or last, which are linear; found max"),
        ("random_propagation.stored=9", "expected random_propagation.stored: 0 or null; found 9"),
        ("method=nosmog", "expected a method without positions; found nosmog"),
    ],
)
def test_what_products_cannot_have(override, expected, tiny):
    overrides = ["propagation.of=products", "student.features=propagated", override]
    with pytest.raises(InputError, match=re.escape(f"of: products: {expected}")):
        load_config(tiny, overrides)
    assert load_config(tiny, [override]).propagation.of == "features"


def test_a_student_of_raw_features_has_none(tiny):
    for overrides in (["student.features=raw"], ["method=glnn"], ["method=nosmog"]):
        assert not load_config(tiny, ["propagation.of=products", *overrides]).in_products
    config, _ = configured(tiny, "student.features=raw")
    told = "random_propagation.mask: 0.5: needs propagated inputs, found student.features: raw"
    with pytest.raises(InputError, match=told):
        for_task(config, "classification")


def test_all_nodes_in_one_step_or_one_error(tiny, monkeypatch):
    config, view = configured(tiny, "method=grand")
    x = student_inputs(config, view, HERE)
    monkeypatch.setattr(placement, "MIN_STEP", 10)

    class Left(Budget):
        def left(self, device="cpu"):
            return 8 * x.nbytes

    few, wide = replace(HERE, budget=Left(1 << 50)), config.replace("student", hidden=4096)
    assert placement.place(wide, x, 3, few).step is not None
    told = "^propagation.of: products needs all nodes in one step of one process$"
    with pytest.raises(InputError, match=told):
        train_student(wide, view, x, None, None, few, 1, lambda *_: None)
    tight = Runtime(torch.device("cpu"), Budget(resident() + (1 << 10)))
    with pytest.raises(InputError, match="resources.memory: .* to propagate products in training"):
        PropagatedMatrix.of(config, view, tight)
