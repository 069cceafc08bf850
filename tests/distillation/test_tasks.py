"""Several labels and numbers: errors and divergences against their definitions in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from torch.nn.functional import logsigmoid

from infgrand_dgl import DistillationLoss, InputError
from infgrand_dgl.config.schema import Config
from infgrand_dgl.data import NodeDataset, Split
from infgrand_dgl.distillation.objective import Lesson
from infgrand_dgl.distillation.tasks import TASKS
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.registry import methods
from infgrand_dgl.system.memory import Budget
from infgrand_dgl.system.runtime import Runtime
from tests.conftest import random_csr, random_undirected
from tests.distillation.saying import assert_adds_up, losses_of, saying

CASES = [("multilabel", "forward"), ("multilabel", "reverse"), ("regression", "forward")]
FORMS = ["collapsed", "apply_edges"]
HERE = Runtime.on("cpu")


def per_edge(task, kl, csr, teacher, student, tau, scale):
    """D_ij of every edge in float64, `[E]`, as it is defined; and how large its terms are."""
    i = torch.repeat_interleave(csr.row_lengths)
    s, t = student.double()[i], teacher.double()[csr.indices.long()]
    if task == "regression":
        return ((s - t) / scale).square().mean(1), ((s.abs() + t.abs()) / scale).amax(1)
    s, t = s / tau, t / tau
    if kl == "reverse":
        s, t = t, s
    terms = [
        (first * (log_t - log_s))
        for first, log_t, log_s in (
            (t.sigmoid(), logsigmoid(t), logsigmoid(s)),
            ((-t).sigmoid(), logsigmoid(-t), logsigmoid(-s)),
        )
    ]
    return (terms[0] + terms[1]).mean(1), (1 + s.abs() + t.abs()).mean(1)


def weights(csr, influence, gamma, weighting):
    rows = torch.repeat_interleave(csr.row_lengths)
    r = 1 / csr.num_edges
    if weighting == "neighborhood":
        r = 1 / (csr.row_lengths.double()[rows] * csr.num_rows)
    return r * (gamma[0] + gamma[1] * influence.double()[csr.indices.long()])


def loss_of(task, csr, teacher, influence, gamma=(1.0, 0.5), scale=None, **options):
    options = {"tau": 1.0, **options}
    return DistillationLoss(
        csr, teacher, influence, gamma1=gamma[0], gamma2=gamma[1], task=task, scale=scale, **options
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("task", "kl"), CASES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@settings(max_examples=30, deadline=None)
@given(
    nodes=st.integers(1, 25),
    edges=st.integers(1, 150),
    columns=st.integers(1, 6),
    tau=st.floats(0.4, 3),
    gamma=st.tuples(st.floats(0, 2), st.floats(0, 2)),
    spread=st.floats(0, 8),
    offset=st.floats(-100, 100),
    weighting=st.sampled_from(["neighborhood", "edges"]),
    seed=st.integers(0, 2**31),
)
def test_forms_equal_the_definition(
    form, task, kl, dtype, nodes, edges, columns, tau, gamma, spread, offset, weighting, seed
):
    """Value and gradient, on any graph: isolated nodes, parallel edges, weights of 0."""
    torch.manual_seed(seed)
    csr = random_csr(nodes, nodes, edges)
    teacher, student = (spread * torch.randn(2, nodes, columns, dtype=dtype)).unbind()
    scale = None
    if task == "regression":
        tau, scale = 1.0, 0.5 + torch.rand(columns)
        teacher, student = teacher + offset, student + offset
    influence = torch.rand(nodes)
    a = weights(csr, influence, gamma, weighting)
    x = student.double().requires_grad_()
    of = torch.ones(()) if scale is None else scale.double()
    D, size = per_edge(task, kl, csr, teacher, x, tau, of)
    expected = (a * D).sum()
    (slope,) = torch.autograd.grad(expected, x)
    x = student.clone().requires_grad_()
    options = {"tau": tau, "kl": kl, "edge_weighting": weighting, "form": form}
    found = loss_of(task, csr, teacher, influence, gamma, scale, **options)(x)
    assert found.dtype == dtype
    # What rounds is at the size of the outputs, where D may be near 0; and a sum at every term.
    eps = torch.finfo(dtype).eps * (12 + int(csr.row_lengths.max()))
    off = eps * size.detach()
    D, steep = D.detach(), 4 / tau
    room = off
    if task == "regression":
        room = 2 * D.sqrt() * off + off**2 + eps * D
        off, steep = off + eps * D.sqrt(), 2 / float(of.min())
    assert abs(float(found.detach() - expected.detach())) <= float((a * room).sum()) + 1e-30
    (found_slope,) = torch.autograd.grad(found, x)
    within = steep * float((a * off).sum()) + 1e-30
    assert float((found_slope - slope).abs().max()) <= within


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("task", "kl"), CASES)
def test_gradcheck(task, kl, form):
    csr = random_csr(7, 7, 25)
    teacher = 3 * torch.randn(7, 3, dtype=torch.float64)
    loss = loss_of(task, csr, teacher, torch.rand(7), kl=kl, form=form)
    assert torch.autograd.gradcheck(loss, torch.randn(7, 3, dtype=torch.float64).requires_grad_())


@pytest.mark.parametrize(("task", "kl"), CASES)
def test_on_each_device(task, kl, device):
    csr = random_undirected(90, 300, device)
    teacher, student = torch.randn(2, 90, 5, device=device).unbind()
    influence, scale = torch.rand(90, device=device), 0.5 + torch.rand(5, device=device)
    given = scale if task == "regression" else None
    loss = loss_of(task, csr, teacher, influence, (0.8, 0.4), given, kl=kl)
    here = csr.to("cpu")
    D, _ = per_edge(task, kl, here, teacher.cpu(), student.cpu(), 1.0, scale.cpu().double())
    expected = float((weights(here, influence.cpu(), (0.8, 0.4), "edges") * D).sum())
    assert float(loss(student)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("weighting", ["neighborhood", "edges"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("task", "kl"), CASES)
def test_weights_of_edges(task, kl, form, weighting):
    """A weight is a factor of its edge's term; the weights' sums are for the counts."""
    N, (source, target) = 40, np.random.randint(0, 40, (2, 120))
    csr = CSRGraph.from_edges(source, target, N, np.random.rand(120).astype(np.float32) + 0.1)
    teacher, student = torch.randn(2, N, 3, dtype=torch.float64).unbind()
    influence = torch.rand(N)
    assert csr.weights is not None
    w, rows = csr.weights.double(), torch.repeat_interleave(csr.row_lengths)
    r = 1 / w.sum()
    if weighting == "neighborhood":
        r = 1 / (torch.zeros(N, dtype=torch.float64).index_add(0, rows, w)[rows] * N)
    D, _ = per_edge(task, kl, csr, teacher, student, 1.0, torch.ones(()))
    a = r * w * (0.9 + 0.4 * influence.double()[csr.indices.long()])
    options = {"kl": kl, "form": form, "edge_weighting": weighting}
    found = loss_of(task, csr, teacher, influence, (0.9, 0.4), **options)(student)
    assert float(found) == pytest.approx(float((a * D).sum()), rel=1e-6)


@pytest.mark.parametrize(("task", "kl"), CASES)
def test_columns_at_a_time_and_into_a_file(task, kl, tmp_path):
    csr, teacher, student = random_undirected(50, 200), torch.randn(50, 7), torch.randn(50, 7)
    influence, options = torch.rand(50), {"kl": kl}
    whole = loss_of(task, csr, teacher, influence, **options)
    mapped = torch.from_numpy(
        np.lib.format.open_memmap(tmp_path / "t.npy", mode="w+", dtype="f4", shape=(50, 7))
    )
    parts = loss_of(task, csr, teacher, influence, columns=3, out=mapped, **options)
    assert parts.targets.data_ptr() == mapped.data_ptr()
    torch.testing.assert_close(parts.targets, whole.targets)
    torch.testing.assert_close(parts.own, whole.own)
    torch.testing.assert_close(parts(student), whole(student))


@pytest.mark.parametrize(("task", "kl"), CASES)
def test_zero_at_the_teacher_and_positive_elsewhere(task, kl):
    """On self-loops alone; where the teacher is sure, too."""
    N = 40
    loops = CSRGraph(torch.arange(N + 1), torch.arange(N, dtype=torch.int32), N, symmetric=True)
    teacher = (torch.randn(N, 4) * torch.logspace(-1, 1.3, N)[:, None]).double()
    # Numbers are in units of their spread, as a training has them.
    scale = teacher.std(dim=0) if task == "regression" else None
    loss = loss_of(task, loops, teacher, torch.rand(N), kl=kl, scale=scale)
    assert abs(float(loss(teacher))) < 1e-14
    narrow = loss_of(task, loops, teacher.float(), torch.rand(N), kl=kl, scale=scale)
    assert abs(float(narrow(teacher.float()))) < 1e-5
    for _ in range(5):
        assert float(loss(teacher + 0.1 * torch.randn(N, 4))) > 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kl", ["forward", "reverse"])
def test_one_label_is_a_class_of_two(form, kl):
    """A Bernoulli distribution of logit z is the categorical one of [0, z]."""
    csr, z, s = random_undirected(30, 90), 2 * torch.randn(30, 1), torch.randn(30, 1)
    influence, options = torch.rand(30), {"kl": kl, "form": form, "tau": 1.7}

    def two(x):
        return torch.cat([torch.zeros_like(x), x], dim=1)

    found = loss_of("multilabel", csr, z, influence, **options)(s)
    expected = loss_of("classification", csr, two(z), influence, **options)(two(s))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("task", "kl"), CASES)
def test_order_of_nodes_and_columns_means_nothing(task, kl):
    N, order, columns = 30, torch.randperm(30), torch.randperm(4)
    source, target = np.random.randint(0, N, (2, 80))
    teacher, student, influence = torch.randn(N, 4), torch.randn(N, 4), torch.rand(N)
    expected = loss_of(task, CSRGraph.from_edges(source, target, N), teacher, influence, kl=kl)(
        student
    )
    back = order.argsort().numpy()  # node i is now number back[i]
    csr = CSRGraph.from_edges(back[source], back[target], N)
    moved = loss_of(task, csr, teacher[order][:, columns], influence[order], kl=kl)
    torch.testing.assert_close(moved(student[order][:, columns]), expected)


def test_bernoulli_by_hand():
    """Two nodes and an edge, E = 4: KL((3/4), (1/2)) once in each direction that costs."""
    graph = CSRGraph.from_edges(np.array([0]), np.array([1]), 2)
    three = torch.tensor(3.0).log().double()
    teacher = torch.tensor([[three, 0.0], [0.0, 0.0]], dtype=torch.float64)
    forward = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    reverse = 0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25)
    for kl, cost in (("forward", forward), ("reverse", reverse)):
        loss = loss_of("multilabel", graph, teacher, torch.zeros(2), (1.0, 0.0), kl=kl)
        # The student is even; both nodes have the sure one for a neighbour; two labels, one costs.
        found = float(loss(torch.zeros(2, 2, dtype=torch.float64)))
        assert found == pytest.approx(2 * cost / 2 / 4)


def test_squared_error_by_hand():
    """Node 0 learns from 1 and 3, in units of 2: ((2-1)² + (2-3)²)/4 at its mean, over E = 4."""
    graph = CSRGraph.from_edges(np.array([0]), np.array([1]), 2)
    teacher = torch.tensor([[1.0], [3.0]])
    loss = loss_of("regression", graph, teacher, torch.zeros(2), (1.0, 0.0), torch.tensor([2.0]))
    assert float(loss(torch.tensor([[2.0], [2.0]]))) == pytest.approx(4 * (1 / 4) / 4)
    assert float(loss(torch.tensor([[4.0], [2.0]]))) == pytest.approx(((9 + 1) / 4 + 2 / 4) / 4)


def test_the_spread_is_no_difference_of_large_numbers():
    """Neighbours that hardly differ, far from 0 and from the other half: years, say."""
    csr = random_undirected(60, 150)
    middle = torch.where(torch.arange(60) < 30, 1e4, 2e4).double()[:, None]
    sub = csr.indices.long()
    rows = torch.repeat_interleave(csr.row_lengths)
    teacher = middle + 1e-2 * torch.rand(60, 1, dtype=torch.float64)
    same = (rows < 30) == (sub < 30)
    indptr = torch.cat([torch.zeros(1), torch.bincount(rows[same], minlength=60).cumsum(0)]).long()
    csr = CSRGraph(indptr, csr.indices[same], 60)
    loss = loss_of("regression", csr, teacher, torch.zeros(60), (1.0, 0.0))
    w, spread = loss.own.unbind(1)
    assert (spread >= 0).all()
    i, j = torch.repeat_interleave(csr.row_lengths), csr.indices.long()
    mean = torch.zeros(60, dtype=torch.float64).index_add(0, i, teacher[j, 0]) / csr.row_lengths
    expected = ((teacher[j, 0] - mean[i]) ** 2).sum() / csr.num_edges
    assert float(spread.sum()) == pytest.approx(float(expected), rel=1e-3)
    assert w.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("task", "options", "told"),
    [
        ("multilabel", {"form": "edge_kl"}, "form: edge_kl is for classification; multilabel has"),
        ("regression", {"form": "edge_kl"}, "form: edge_kl is for classification; regression has"),
        ("regression", {"tau": 2.0}, "tau: regression has no temperature, expected 1, found 2"),
        ("regression", {"kl": "reverse"}, "kl: regression has no directions, expected forward"),
        ("regression", {"scale": torch.ones(2)}, r"scale: expected shape \[3\], found \[2\]"),
        ("ranking", {}, "task: expected classification, multilabel or regression"),
    ],
)
def test_what_a_task_does_not_have(task, options, told):
    with pytest.raises(InputError, match=told):
        loss_of(task, random_undirected(9, 20), torch.randn(9, 3), torch.rand(9), **options)


def view_of(task, N=40, C=3, known=1.0):
    """Node ids 0 to 14 are for training; some of the labels are not known."""
    labels = torch.randn(N, C) * torch.logspace(-2, 3, C) + 1000
    if task == "multilabel":
        labels = (torch.rand(N, C) < 0.3).float()
        labels[0], labels[1] = 1, 0
    labels[3:][torch.rand(N - 3, C) > known] = torch.nan
    split = Split(torch.arange(15), torch.arange(15, 25), torch.arange(25, N))
    csr = random_undirected(N, 2 * N)
    return NodeDataset("any", csr, torch.randn(N, 6), labels, C, split, {}, task=task)


def learning(view, config=None, **train):
    config = config or Config.model_validate({"data": {"name": "cora"}, "train": train})
    return TASKS[view.task](config, view, torch.device("cpu"))


@pytest.mark.parametrize("known", [1.0, 0.6])
def test_errors_of_labels(known):
    """The mean over the training nodes is scikit-learn's log loss over the known labels."""
    view = view_of("multilabel", known=known)
    logits = torch.randn(40, 3, requires_grad=True)
    y, z = view.labels[view.train], logits[view.train].detach()
    there = ~y.isnan()
    expected = sk.log_loss(y[there].numpy(), z[there].double().sigmoid().numpy(), labels=[0, 1])
    task = learning(view)
    mean = task.mean(logits[view.train], y)
    assert mean.item() == pytest.approx(expected, rel=1e-5)
    # What has no label has no error, and no gradient.
    errors = task.errors(logits, task.training_labels(view))
    assert not errors[15:].any() and errors.sum().item() == pytest.approx(15 * expected, rel=1e-5)
    errors.sum().backward()
    assert logits.grad is not None and logits.grad.isfinite().all()
    assert torch.equal(logits.grad[view.train] != 0, there) and not logits.grad[15:].any()


@pytest.mark.parametrize("known", [1.0, 0.6])
def test_balanced_labels(known):
    """Of each label those with it weigh as much in all as those without; 1 on average."""
    view = view_of("multilabel", known=known)
    view.labels[:15, 2] = 0  # of one label there is none: the others weigh 1
    y = view.labels[view.train]
    weights = learning(view, class_weights="balanced").weights
    for c in range(2):
        one, zero = (y[:, c] == 1).sum(), (y[:, c] == 0).sum()
        assert float(weights[1, c] * one) == pytest.approx(float(weights[0, c] * zero))
        assert float(weights[1, c] * one + weights[0, c] * zero) == pytest.approx(int(one + zero))
    assert weights[:, 2].tolist() == [1, 0]
    logits = torch.randn(15, 3)
    each = torch.where(y == 1, weights[1], weights[0])
    bce = -each * torch.where(y == 1, logsigmoid(logits), logsigmoid(-logits))
    bce = torch.where(y.isnan(), torch.nan, bce)
    found = learning(view, class_weights="balanced").mean(logits, y)
    assert found.item() == pytest.approx(bce.nanmean().item(), rel=1e-5)


@pytest.mark.parametrize("known", [1.0, 0.6])
def test_errors_of_numbers(known):
    """In standard deviations of the training nodes', column by column."""
    view = view_of("regression", known=known)
    view.labels[:, 1] = 7  # constant
    view.labels[:15, 2] = torch.nan  # of which nothing is known
    task, y = learning(view), view.labels[view.train]
    assert task.units is not None
    shift, scale = task.units
    column = y[:, 0][~y[:, 0].isnan()].double()
    assert shift.tolist() == pytest.approx([column.mean().item(), 7, 0])
    assert scale.tolist() == pytest.approx([column.std(correction=0).item(), 1, 1], rel=1e-4)
    outputs = y.nan_to_num() + torch.randn(15, 3)
    expected = (((outputs - y) / scale) ** 2).nanmean()
    assert task.mean(outputs, y).item() == pytest.approx(expected.item(), rel=1e-4)
    with pytest.raises(InputError, match="class_weights: balanced: regression has no classes"):
        learning(view, class_weights="balanced")


@pytest.mark.parametrize("kl", ["forward", "reverse"])
@pytest.mark.parametrize(
    ("method", "task"),
    [(m.name, task) for m in methods.values() for task in m.tasks if task != "classification"],
)
def test_a_batch_has_its_part_and_waits_for_nothing(method, task, kl, tiny_config, device):
    device, view = torch.device(device), view_of(task, known=0.7)
    config = tiny_config.replace(method=method)
    if task == "multilabel":
        config = config.replace("distillation", kl=kl, tau=1.5)
    influence, logits = torch.rand(40), view.labels.nan_to_num() + torch.randn(40, 3)
    runtime = Runtime(device, Budget(1 << 40, 1 << 40))
    made = methods[method].objective(Lesson(config, view, influence, logits, runtime))
    rows = {name: values.to(device) for name, values in made.rows.items()}
    out = (logits + torch.randn(40, 3))[: len(rows["labels"])].to(device)
    rows["x"] = torch.arange(len(out), device=device)
    batches = torch.randperm(len(out)).to(device).split(len(out) // 2)
    assert_adds_up(made, saying, out, rows, batches)


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_total_of_infgrand_and_glnn(task, tiny_config):
    """λ of the supervised errors, the rest by the definition edge by edge."""
    view = view_of(task, known=0.8) if task == "multilabel" else view_of(task)
    config = tiny_config.replace("distillation", lambda_=0.3, delta1=0.6, delta2=1.4, gamma2=0.7)
    influence = torch.rand(40)
    logits, out = (view.labels.nan_to_num() + torch.randn(40, 3) for _ in range(2))
    learn = learning(view)
    scale = torch.ones(3) if learn.units is None else learn.units[1]
    errors = learn.errors(out[view.train], view.labels[view.train])
    loops = CSRGraph(torch.arange(41), torch.arange(40, dtype=torch.int32), 40, symmetric=True)
    for method, csr, delta, gamma in (
        ("infgrand", view.csr, (0.6, 1.4), (1.0, 0.7)),
        ("glnn", loops, (1.0, 0.0), (1.0, 0.0)),
    ):
        D, _ = per_edge(task, "forward", csr, logits, out, 1.0, scale)
        distilled = (weights(csr, influence, gamma, "edges") * D).sum()
        supervised = (delta[0] * errors + delta[1] * errors * influence[view.train]).mean()
        made = methods[method].objective(Lesson(config, view, influence, logits, HERE))
        found = losses_of(made, out)
        assert found["supervised_loss"].item() == pytest.approx(supervised.item(), rel=1e-4)
        assert found["distillation_loss"].item() == pytest.approx(distilled.item(), rel=1e-4)
        expected = 0.3 * supervised + 0.7 * distilled
        assert found["loss"].item() == pytest.approx(expected.item(), rel=1e-4)
