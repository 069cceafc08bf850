"""What of a training a GPU may replay, by a stand-in that replays on the CPU; and that nothing in it
waits for the GPU."""

import warnings
from contextlib import contextmanager

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from infgrand_dgl.data import load_dataset
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training import graphed as module
from infgrand_dgl.training.graphed import WARM_UP, graphed
from infgrand_dgl.training.optimizer import adam
from infgrand_dgl.training.student import train_student
from infgrand_dgl.training.teacher import train_teacher
from tests.conftest import needs_gpu

EPOCHS = 7
CPU = torch.device("cpu")


class Replayed:
    """A recording that calls what it recorded, and keeps its result where it was recorded."""

    made: list["Replayed"]

    def __init__(self, device):
        self.device, self.calls = device, []
        self.made.append(self)

    def eager(self, call):
        self.calls.append("eager")
        self.result = call()
        return self.result

    def record(self, call):
        self.calls.append("record")
        self.call = call
        names, values = self.result
        self.result = names, torch.full_like(values, torch.nan)
        return self.result

    def replay(self):
        self.calls.append("replay")
        self.result[1].copy_(self.call()[1])


@pytest.fixture
def replayed(monkeypatch):
    """The stand-ins that a training made."""
    monkeypatch.setitem(module.GRAPHS, "cpu", Replayed)
    Replayed.made = []
    return Replayed.made


def train(model, config, device=CPU):
    """Every epoch's record, and the weights."""
    dataset, epochs = load_dataset(config), []
    last = Runtime.on(device), 7, lambda epoch, values: epochs.append(values)
    if model == "teacher":
        weights = train_teacher(config, dataset, *last).state_dict()
    else:
        torch.manual_seed(3)
        given = torch.randn(300, 12), torch.rand(300), 3 * torch.randn(300, 3)
        weights = train_student(config, dataset, *given, *last).state_dict()
    return epochs, [w.cpu() for w in weights.values()]


CASES = [
    ("teacher", {"teacher.model": "gcn"}),
    ("teacher", {"teacher.model": "gcn", "teacher.hidden": 80}),  # wider than the features
    ("teacher", {"teacher.model": "sage", "teacher.layers": 3, "train.precision": "bfloat16"}),
    ("teacher", {"teacher.model": "gat", "teacher.attention_dropout": 0.0}),
    ("teacher", {"teacher.norm": "batch", "teacher.residual": True, "train.metric": "roc_auc"}),
    ("teacher", {"teacher.norm": "layer", "teacher.jumping_knowledge": "max",
                 "teacher.input_dropout": 0.3, "train.class_weights": "balanced"}),
    ("student", {"distillation.loss": "collapsed"}),
    ("student", {"distillation.loss": "collapsed", "distillation.kl": "reverse"}),
    ("student", {"distillation.loss": "edge_kl"}),
    ("student", {"student.norm": "batch", "student.layers": 3}),
    ("student", {"train.precision": "bfloat16"}),
    ("student", {"student.model": "sign", "student.norm": "batch"}),  # of 3 hops, 4 columns each
    ("student", {"student.model": "gamlp", "train.precision": "bfloat16"}),
    ("student", {"random_propagation.views": 2, "consistency.weight": 0.5,
                 "student.input_dropout": 0.3}),
    ("student", {"propagation.of": "products", "random_propagation.mask": 0.4,
                 "random_propagation.views": 2, "consistency.weight": 0.5}),
    ("student", {"student.ema": 0.8, "student.norm": "batch"}),
    ("student", {"method": "glnn"}),
    ("student", {"method": "mlp"}),
    ("student", {"train.metric": "macro_f1", "train.class_weights": "balanced"}),
    ("student", {"train.metric": "balanced_accuracy"}),
    ("student", {"method": "mlp", "train.metric": "average_precision",
                 "train.class_weights": "balanced"}),
]  # fmt: skip


def changed(config, settings):
    config = config.replace("train", epochs=EPOCHS, patience=EPOCHS, inputs="dense")
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        if section:
            config = config.replace(section, **{name: value})
        else:
            config = config.model_copy(update={name: value})
    return config


@pytest.mark.parametrize(("model", "settings"), CASES)
def test_replayed_training_is_the_same(model, settings, tiny_config, replayed, monkeypatch):
    config = changed(tiny_config, settings)
    epochs, weights = train(model, config)
    (graph,) = replayed
    assert graph.calls == ["eager"] * WARM_UP + ["record"] + ["replay"] * (EPOCHS - WARM_UP)
    monkeypatch.delitem(module.GRAPHS, "cpu")
    expected, others = train(model, config)
    assert epochs == expected and len(epochs) == EPOCHS
    assert all(map(torch.equal, weights, others))


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("teacher", {"teacher.model": "gat"}),  # attention dropout
        ("teacher", {"teacher.backend": "dgl"}),
        ("teacher", {"teacher.batch_size": 16}),
        ("student", {"student.batch_size": 100}),
        ("student", {"train.inputs": "sparse"}),
        ("student", {"consistency.weight": 0.5, "consistency.warm_up": 3}),
    ],
)
def test_what_does_not_repeat_is_not_recorded(model, settings, tiny_config, replayed):
    train(model, changed(tiny_config, settings))
    assert not replayed


def test_a_call_that_cannot_be_recorded_goes_on(tiny_config, monkeypatch, caplog, replayed):
    def record(self, call):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(Replayed, "record", record)
    epochs, weights = train("teacher", changed(tiny_config, {}))
    assert replayed[0].calls == ["eager"] * WARM_UP
    assert [record.message for record in caplog.records if "CUDA graph" in record.message] == [
        "CUDA graph: operation not permitted when stream is capturing; kernels are launched one by "
        "one"
    ]
    monkeypatch.delitem(module.GRAPHS, "cpu")
    expected, others = train("teacher", changed(tiny_config, {}))
    assert epochs == expected and all(map(torch.equal, weights, others))


def test_steps_are_capturable_while_recorded(tiny_config, replayed, monkeypatch):
    """torch refuses to record others, and warns of such steps elsewhere."""
    optimizer = adam(torch.nn.Linear(2, 2), tiny_config.teacher)
    seen, record = [], Replayed.record

    def call():
        seen.append(optimizer.param_groups[0]["capturable"])
        return [], torch.zeros(1)

    def noted(self, call):
        call()
        return record(self, call)

    monkeypatch.setattr(Replayed, "record", noted)
    repeated = graphed(call, optimizer, CPU)
    for _ in range(WARM_UP + 2):
        repeated()
    assert seen == [False] * WARM_UP + [True] + [False] * 2


class NoWaiting(TorchDispatchMode):
    """Fails on what makes a GPU wait: shapes that depend on numbers, and numbers that are read."""

    ALWAYS = ("nonzero", "_local_scalar_dense", "is_nonzero", "masked_select", "bincount", "equal",
              "_unique2")  # fmt: skip

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in self.ALWAYS, name
        if name.startswith("index"):
            flat = [t for a in args if isinstance(a, list | tuple) for t in a]
            assert not any(t is not None and t.dtype == torch.bool for t in flat), "mask"
        return func(*args, **(kwargs or {}))


@contextmanager
def no_waiting(device):
    """An error where the device would be waited for."""
    if device.type == "cpu":
        with NoWaiting():
            yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it does not see everything
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


class Watched(Replayed):
    def replay(self):
        self.calls.append("replay")
        with no_waiting(self.device):
            _, values = self.call()
        self.result[1].copy_(values)


@pytest.mark.parametrize(("model", "settings"), CASES)
def test_nothing_waits(model, settings, tiny_config, monkeypatch, device):
    """In a step and an evaluation."""
    monkeypatch.setitem(module.GRAPHS, device, Watched)
    Replayed.made = []
    train(model, changed(tiny_config, settings), device)
    assert Replayed.made[0].calls.count("replay") == EPOCHS - WARM_UP


def test_the_watch_sees():
    x, mask = torch.arange(3.0, requires_grad=True), torch.tensor([True, False, True])
    for waiting in (lambda: x[mask], lambda: float(x[0].detach()), lambda: mask.nonzero()):
        with no_waiting(CPU), pytest.raises(AssertionError):
            waiting()


@needs_gpu
@pytest.mark.parametrize(("model", "settings"), CASES)
def test_on_a_gpu(model, settings, tiny_config, monkeypatch, caplog):
    """Recorded indeed, with fresh dropout masks in every replay: as without recording."""
    config = changed(tiny_config, settings)
    epochs, weights = train(model, config, "cuda")
    assert not [record for record in caplog.records if "CUDA graph" in record.message]
    monkeypatch.delitem(module.GRAPHS, "cuda")
    expected, others = train(model, config, "cuda")
    for found, other in zip(epochs, expected, strict=True):
        assert found == pytest.approx(other, rel=1e-3, abs=0.05)
    for found, other in zip(weights, others, strict=True):
        torch.testing.assert_close(found, other, rtol=1e-2, atol=1e-2)
