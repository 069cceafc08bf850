"""`benchmark distill`: the distillation term in each of its forms, and whole training steps.

Every form takes the same student logits and ends with the term's value and its gradient with
respect to them. A step forwards every row through the student, with the term or without it.
"""

from collections.abc import Callable
from functools import partial
from typing import get_args

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from ..config.schema import Config, DistillationConfig
from ..data import NodeDataset, with_split
from ..distillation.loss import DistillationLoss, Form, supervised_loss
from ..distillation.tasks import TASKS, LearningTask
from ..graph.csr import CSRGraph
from ..nn.students import build, inner_width, shape_of
from ..propagation.inputs import propagation_of
from ..training.optimizer import adam
from .harness import Contender, Row

Loss = Callable[[Tensor], Tensor]
SEED = 0
EDGE_TENSORS = 6  # of [E, C] that edge_gather holds at once, forward and backward
STEP_TENSORS = 4  # of each layer's size that a step holds: output, activation, mask, gradient


def contenders(config: Config, dataset: NodeDataset, device: torch.device) -> list[Contender]:
    csr = dataset.csr.to(device)
    N, C = dataset.num_nodes, dataset.num_classes
    rng = torch.Generator().manual_seed(SEED)
    logits, teacher = torch.randn(2, N, C, generator=rng).to(device)
    influence = torch.rand(N, generator=rng).to(device)
    data = with_split(dataset, config.data, config.train.seeds[0])
    task = TASKS[dataset.task](config, data, device)
    term = partial(_term, config.distillation, csr, teacher, influence, data, task)
    gather = partial(edge_gather, csr, teacher, influence, config.distillation)
    return [
        *_terms(term, gather, logits, csr.num_edges, dataset.task == "classification"),
        *_steps(config, data, task, influence, term("collapsed")),
    ]


def _term(
    d: DistillationConfig,
    csr: CSRGraph,
    teacher: Tensor,
    influence: Tensor,
    data: NodeDataset,
    task: LearningTask,
    form: Form,
) -> DistillationLoss:
    return DistillationLoss(
        csr,
        teacher,
        influence,
        gamma1=d.gamma1,
        gamma2=d.gamma2,
        tau=d.tau,
        kl=d.kl,
        edge_weighting=d.edge_weighting,
        form=form,
        task=data.task,
        scale=task.units and task.units[1],
    )


def _terms(
    term: Callable[[Form], Loss],
    gather: Callable[[], Loss],
    logits: Tensor,
    num_edges: int,
    of_classes: bool,
) -> list[Contender]:
    """The forms of the term, and the definition in plain torch.

    Args:
        of_classes: whether the labels are; two of the forms are made for them.
    """
    _, expected = value_and_gradient(term("collapsed"), logits)

    def describe(result: tuple[Tensor, Tensor]) -> Row:
        return {"max_abs_difference": float((result[1] - expected).abs().max())}

    def contender(name: str, make: Callable[[], Loss], holds: int, call: int) -> Contender:
        """Bytes: of what the form makes once, and of a call, beside the logits."""
        missing = ""
        if name == "apply_edges" and logits.device.type != "cpu":
            missing = "runs on the CPU"
        elif name in ("edge_kl", "edge_gather") and not of_classes:
            missing = "is for classes"
        return Contender(
            name,
            lambda: partial(value_and_gradient, make(), logits),
            describe,
            needs=holds + classes + call,
            holds=holds + classes,
            missing=missing,
        )

    edges, classes = 4 * num_edges, 4 * logits.numel()  # bytes of a number for each
    made = {"collapsed": 0, "edge_kl": edges, "apply_edges": 4 * edges}  # DGL's ids are int64
    forms = []
    for form in get_args(Form):
        call = 4 * classes + (0 if form == "collapsed" else 3 * edges)
        forms.append(contender(form, partial(term, form), made[form], call))
    gathered = EDGE_TENSORS * edges * logits.shape[1]
    return [*forms, contender("edge_gather", gather, 5 * edges, gathered)]


def _steps(
    config: Config, data: NodeDataset, task: LearningTask, influence: Tensor, term: Loss
) -> list[Contender]:
    """Training steps, with the term and without."""
    width = data.num_features * (
        len(propagation_of(config).parts) if config.student.reads_hops else 1
    )
    held = 4 * data.num_nodes * width
    inner = inner_width(shape_of(config, width, data.num_classes))
    outputs = STEP_TENSORS * (inner + data.num_classes)
    needs = held + 4 * data.num_nodes * outputs
    return [
        Contender(name, partial(step, config, data, task, influence, loss), needs=needs, holds=held)
        for name, loss in (("step_collapsed", term), ("step_supervised", None))
    ]


def value_and_gradient(loss: Loss, logits: Tensor) -> tuple[Tensor, Tensor]:
    h = logits.detach().requires_grad_()
    value = loss(h)
    return value.detach(), torch.autograd.grad(value, h)[0]


def edge_gather(csr: CSRGraph, teacher: Tensor, influence: Tensor, d: DistillationConfig) -> Loss:
    """The definition in plain torch: both ends' rows gathered for every edge, `[E, C]` each."""
    students, neighbours = torch.repeat_interleave(csr.row_lengths), csr.indices.long()
    if d.edge_weighting == "edges":
        r = torch.full_like(influence, 1 / float(csr.row_sums.sum()))
    else:
        r = (csr.row_sums * csr.num_rows).reciprocal().to(influence.dtype)
    weights = r[students] * (d.gamma1 + d.gamma2 * influence[neighbours])
    if csr.weights is not None:
        weights = weights * csr.weights
    log_q = (teacher / d.tau).log_softmax(dim=1)

    def loss(logits: Tensor) -> Tensor:
        p, q = (logits / d.tau).log_softmax(dim=1)[students], log_q[neighbours]
        approximated, true = (p, q) if d.kl == "forward" else (q, p)
        per_edge = kl_div(approximated, true, reduction="none", log_target=True).sum(dim=1)
        return (weights * per_edge).sum()

    return loss


def step(
    config: Config,
    data: NodeDataset,
    task: LearningTask,
    influence: Tensor,
    distillation: Loss | None,
) -> Callable[[], Tensor]:
    """A training step of the student on every row: forward, backward, Adam."""
    s, d, device = config.student, config.distillation, influence.device
    x, train = data.dense_features().to(device), data.train.to(device)
    if s.reads_hops:
        x = propagation_of(config).of(data.csr.to(device), x)
    labels, weight = data.labels.to(device)[train], influence[train]
    torch.manual_seed(SEED)
    shape = shape_of(config, x.shape[1], data.num_classes)
    student = build(shape, dropout=s.dropout).to(device)
    if task.units is not None:
        student.set_units(*task.units)
    optimizer = adam(student, s)

    def run() -> Tensor:
        out = student(x)
        loss = supervised_loss(
            out[train], labels, weight, delta1=d.delta1, delta2=d.delta2, errors=task.errors
        )
        if distillation is not None:
            loss = d.lambda_ * loss + (1 - d.lambda_) * distillation(out)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return run
