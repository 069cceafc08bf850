"""The loss of each method, on cases small enough for a hand."""

from math import log

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from infgrand_dgl import InputError
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import NodeDataset, Split, load_dataset
from infgrand_dgl.distillation.loss import Form
from infgrand_dgl.distillation.objective import Lesson
from infgrand_dgl.experiment import steps
from infgrand_dgl.experiment.directory import RunDirectory
from infgrand_dgl.experiment.train import train
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.registry import methods
from infgrand_dgl.serving import predict
from infgrand_dgl.system.memory import Budget
from infgrand_dgl.system.runtime import Runtime
from tests.conftest import random_undirected
from tests.distillation.saying import assert_adds_up, losses_of, saying
from tests.influence.test_measures import GRAPHS, graph

HERE = Runtime(torch.device("cpu"), Budget(1 << 40, 0))
QUIET = Reporter(quiet=True)


def small(name, labels, train):
    csr = graph(name, "cpu")
    ids = torch.tensor(train)
    empty = torch.empty(0, dtype=torch.long)
    split = Split(ids, empty, empty)
    x = torch.zeros(csr.num_rows, 1)
    return NodeDataset(name, csr, x, torch.tensor(labels), 2, split, {})


def loss(config, method, view, influence, logits, out):
    made = methods[method].objective(Lesson(config, view, influence, logits, HERE))
    return {k: float(v) for k, v in losses_of(made, out).items()}


@pytest.fixture
def config(tiny):
    return load_config(tiny, ["distillation.lambda=0.25", "distillation.tau=2"])


def test_glnn_by_hand(config):
    """Path, τ = 2: teacher (3/4, 1/4) for one node, certain-to-even for the rest; student even.

    KL((3/4, 1/4) ‖ (1/2, 1/2)) = log 2 - H(3/4); even on even is 0. Node 1 alone is labelled.
    """
    view = small("path", [0, 1, 0], [1])
    logits = 2 * torch.tensor([[log(3.0), 0.0], [0.0, 0.0], [0.0, 0.0]])
    found = loss(config, "glnn", view, None, logits, torch.zeros(3, 2))
    kl = log(2) - (0.75 * log(4 / 3) + 0.25 * log(4))
    assert found["distillation_loss"] == pytest.approx(kl / 3, rel=1e-5)
    assert found["supervised_loss"] == pytest.approx(log(2), rel=1e-6)
    assert found["loss"] == pytest.approx(0.25 * log(2) + 0.75 * kl / 3, rel=1e-5)


@pytest.mark.parametrize("form", ["collapsed", "apply_edges", "edge_kl"])
@pytest.mark.parametrize("name", GRAPHS)
def test_glnn_sees_no_edge(name, form: Form, config):
    """The mean over nodes of the KL to their own teacher, whatever the graph."""
    N = GRAPHS[name][1]
    view = small(name, [k % 2 for k in range(N)], [0, N - 1])
    logits, out = 3 * torch.randn(N, 2), torch.randn(N, 2)
    # Settings of InfGraND, and its influence, mean nothing to it.
    config = config.replace("distillation", loss=form, gamma1=9.0, gamma2=7.0, delta1=3.0)
    config = config.replace("distillation", kl="reverse", edge_weighting="neighborhood")
    found = loss(config, "glnn", view, torch.rand(N), logits, out)
    student, teacher = (out / 2).log_softmax(dim=1), (logits / 2).softmax(dim=1)
    kl = kl_div(student, teacher, reduction="batchmean")
    ce = cross_entropy(out[view.train], view.labels[view.train])
    assert found["distillation_loss"] == pytest.approx(float(kl), rel=1e-4, abs=1e-6)
    assert found["loss"] == pytest.approx(float(0.25 * ce + 0.75 * kl), rel=1e-4, abs=1e-6)


def test_infgrand_on_a_star_by_hand(config):
    """Hub 0 certain of class 0, leaves even, student even: only edges out of the hub cost log 2.

    Those are its self-loop and three to the leaves, of E = 4 + 6 entries, weighted γ1 + γ2·I(hub).
    """
    view = small("star", [0, 1, 1, 1], [0])
    logits = torch.tensor([[1e3, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    config = config.replace("distillation", gamma1=0.5, gamma2=2.0, delta1=1.0, delta2=3.0)
    influence = torch.tensor([0.75, 0.1, 0.2, 0.3])
    found = loss(config, "infgrand", view, influence, logits, torch.zeros(4, 2))
    assert found["distillation_loss"] == pytest.approx(4 * 2.0 * log(2) / 10, rel=1e-5)
    assert found["supervised_loss"] == pytest.approx((1 + 3 * 0.75) * log(2), rel=1e-5)


def test_mlp_by_hand(config):
    view = small("path", [0, 1, 0], [0, 1])
    made = methods["mlp"].objective(Lesson(config, view, None, None, HERE))
    assert made.nodes is not None and made.nodes.tolist() == [0, 1]
    found = losses_of(made, torch.tensor([[log(3.0), 0.0]] * 2))
    assert float(found["loss"]) == pytest.approx((log(4 / 3) + log(4)) / 2)


@pytest.mark.parametrize("method", [name for name in methods if name != "nosmog"])
def test_a_batch_has_its_part_and_waits_for_nothing(method, config, device):
    """Whatever of it is labelled: losses and gradients of two halves add up to the whole's."""
    N, device = 60, torch.device(device)
    csr = random_undirected(N, 150)
    split = Split(torch.randperm(N)[:9], *torch.empty(2, 0, dtype=torch.long))
    view = NodeDataset("any", csr, torch.zeros(N, 1), torch.randint(3, (N,)), 3, split, {})
    given = torch.rand(N), torch.randn(N, 3)
    runtime = Runtime(device, Budget(1 << 40, 1 << 40))
    taught = torch.randn(N, 5), torch.randn(N, 3)  # hidden, perturbed
    made = methods[method].objective(Lesson(config, view, *given, runtime, 0, *taught))
    if made.all_at_once:
        pytest.skip("takes no batches")
    rows = {name: values.to(device) for name, values in made.rows.items()}
    nodes = torch.arange(len(rows["labels"]), device=device)
    out = torch.randn(len(nodes), 3, device=device)
    assert_adds_up(made, saying, out, {"x": nodes, **rows}, nodes.tensor_split(2))


def test_what_a_student_reads(tiny):
    for method in methods:
        for features in ("auto", "raw", "propagated"):
            config = load_config(tiny, [f"method={method}", f"student.features={features}"])
            expected = (
                methods[method].propagated if features == "auto" else features == "propagated"
            )
            assert config.reads_propagated == expected


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
@pytest.mark.parametrize("method", ["glnn", "mlp"])
def test_run_of_a_baseline(method, setting, tiny, tmp_path):
    """The same numbers as beside InfGraND, and a student that `predict` serves without a graph."""
    override = [f"data.setting={setting}"]
    alone = load_config(tiny, [*override, f"method={method}"])
    beside = load_config(tiny, [*override, f"train.baselines=[{method}]"])
    found = train(alone, tmp_path / "alone", report=QUIET)
    other = train(beside, tmp_path / "beside", report=QUIET)
    assert found["student"]["test"] == other[method]["test"]
    assert found["student"]["macro_f1"] == other[method]["macro_f1"]
    assert ("teacher" in found) == (method == "glnn")
    if method == "glnn":
        assert found["teacher"]["test"] == other["teacher"]["test"]
    run = RunDirectory.open(tmp_path / "alone")
    assert not list(run.path.rglob("influence.npy"))
    dataset = load_dataset(alone, 1)
    inputs = run.propagated(1)
    np.testing.assert_array_equal(inputs, dataset.dense_features().numpy())
    classes = predict(run.student(1), inputs).argmax(dim=1)
    accuracy = float((classes == dataset.labels)[dataset.test].double().mean())
    assert accuracy == pytest.approx(found["student"]["test"]["per_seed"][0])


@pytest.mark.parametrize("measure", ["degree", "entropy", "hybrid"])
def test_run_of_another_measure(measure, tiny, tmp_path):
    config = load_config(tiny, [f"influence.measure={measure}"])
    train(config, tmp_path / "run", report=QUIET)
    per_seed = measure != "degree"
    assert (tmp_path / "run/influence.npy").exists() != per_seed
    assert (tmp_path / "run/seed-2/influence.npy").exists() == per_seed


@pytest.mark.parametrize("choice", ["high", "low"])
def test_labels_chosen_by_influence(choice, tiny, tmp_path, monkeypatch):
    overrides = ["data.label_rate=0.25", f"data.label_choice={choice}", "influence.measure=degree"]
    config = load_config(tiny, overrides)
    seen = []
    original = steps.train_teacher

    def noted(config, view, *rest):
        seen.append(view.train)
        return original(config, view, *rest)

    monkeypatch.setattr(steps, "train_teacher", noted)
    metrics = train(config, tmp_path / "run", students={}, report=QUIET)
    assert "student" not in metrics and metrics["teacher"]
    dataset = load_dataset(config, 1)
    degree = (dataset.csr.row_lengths - 1)[dataset.train]
    count = round(len(dataset.train) / 4)
    expected = degree.sort(descending=choice == "high").values[:count]
    kept = (dataset.csr.row_lengths - 1)[seen[0]]
    assert sorted(kept.tolist()) == sorted(expected.tolist())
    assert set(seen[0].tolist()) <= set(dataset.train.tolist())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("method=kdr", "method: expected one of .*glnn, .*; found 'kdr'; did you mean 'krd'?"),
        ("influence.mix=0.5", "influence: mix: only for measure: hybrid, not cosine"),
        ("data.label_choice=high", "data: label_rate: label_choice: high needs one"),
        ("train.baselines=[mlp, mlp]", "train.baselines: expected distinct baselines"),
    ],
)
def test_bad_settings(override, message, tiny):
    with pytest.raises(InputError, match=message.replace("[", r"\[")):
        load_config(tiny, [override])


def test_settings_that_exclude_each_other(tiny):
    both = ["influence.measure=degree", "influence.algorithm=blocked"]
    with pytest.raises(InputError, match="algorithm: only for measure: cosine"):
        load_config(tiny, both)
    early = ["influence.measure=entropy", "data.label_rate=0.5", "data.label_choice=low"]
    with pytest.raises(InputError, match="comes before the teacher"):
        load_config(tiny, early)
