"""`benchmark distill`: the distillation term in each of its forms, and whole training steps.

Every form takes the same student logits and ends with the term's value and its gradient with
respect to them. A step forwards every row through the student, with the term or without it.
"""

from collections.abc import Callable
from typing import get_args

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from ..config import Config, DistillationConfig
from ..data import NodeDataset, with_split
from ..distillation import DistillationLoss, Form, supervised_loss
from ..errors import InputError
from ..graph import CSRGraph
from ..nn.mlp import MLP
from ..training.loop import adam
from .harness import Contender, Row

Loss = Callable[[Tensor], Tensor]
NOTE = "the first rows: value and gradient of the distillation term; step_*: whole training steps"
SEED = 0
EDGE_TENSORS = 6  # of [E, C] that edge_gather holds at once, forward and backward


def size(config: Config) -> Row:
    s = config.student
    return {"layers": s.layers, "hidden": s.hidden, "kl": config.distillation.kl}


def contenders(config: Config, dataset: NodeDataset, device: torch.device) -> list[Contender]:
    d, csr = config.distillation, dataset.csr.to(device)
    N, C = dataset.num_nodes, dataset.num_classes
    rng = torch.Generator().manual_seed(SEED)
    logits, teacher = torch.randn(2, N, C, generator=rng).to(device)
    influence = torch.rand(N, generator=rng).to(device)

    def term(form: Form) -> DistillationLoss:
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
        )

    collapsed = term("collapsed")
    _, expected = value_and_gradient(collapsed, logits)

    def contender(name: str, loss: Loss, needs: int = 0) -> Contender:
        def describe(found: tuple[Tensor, Tensor], seconds: float) -> Row:
            return {"max_abs_difference": float((found[1] - expected).abs().max())}

        return Contender(name, lambda: value_and_gradient(loss, logits), describe, needs)

    found = []
    for form in get_args(Form):
        try:
            found.append(contender(form, term(form)))
        except InputError as error:  # apply_edges on a GPU
            found.append(Contender(form, lambda: None, missing=str(error)))
    gathered = EDGE_TENSORS * 4 * csr.num_edges * C
    found.append(contender("edge_gather", edge_gather(csr, teacher, influence, d), gathered))
    data = with_split(dataset, config.data, config.train.seeds[0])
    for name, distillation in (("step_collapsed", collapsed), ("step_supervised", None)):
        found.append(Contender(name, step(config, data, influence, distillation)))
    return found


def value_and_gradient(loss: Loss, logits: Tensor) -> tuple[Tensor, Tensor]:
    h = logits.detach().requires_grad_()
    value = loss(h)
    return value.detach(), torch.autograd.grad(value, h)[0]


def edge_gather(csr: CSRGraph, teacher: Tensor, influence: Tensor, d: DistillationConfig) -> Loss:
    """The definition in plain torch: both ends' rows gathered for every edge, `[E, C]` each."""
    students, neighbours = torch.repeat_interleave(csr.row_lengths), csr.indices.long()
    if d.edge_weighting == "edges":
        r = torch.full_like(influence, 1 / csr.num_edges)
    else:
        r = 1 / (csr.row_lengths * csr.num_rows)
    weights = r[students] * (d.gamma1 + d.gamma2 * influence[neighbours])
    log_q = (teacher / d.tau).log_softmax(dim=1)

    def loss(logits: Tensor) -> Tensor:
        p, q = (logits / d.tau).log_softmax(dim=1)[students], log_q[neighbours]
        approximated, true = (p, q) if d.kl == "forward" else (q, p)
        per_edge = kl_div(approximated, true, reduction="none", log_target=True).sum(dim=1)
        return (weights * per_edge).sum()

    return loss


def step(
    config: Config, data: NodeDataset, influence: Tensor, distillation: Loss | None
) -> Callable[[], Tensor]:
    """A training step of the student on every row: forward, backward, Adam."""
    s, d, device = config.student, config.distillation, influence.device
    x, train = data.dense_features().to(device), data.train.to(device)
    labels, weight = data.labels.to(device)[train], influence[train]
    torch.manual_seed(SEED)
    student = MLP(
        x.shape[1], s.hidden, data.num_classes, layers=s.layers, dropout=s.dropout, norm=s.norm
    ).to(device)
    optimizer = adam(student, s)

    def run() -> Tensor:
        out = student(x)
        loss = supervised_loss(out[train], labels, weight, delta1=d.delta1, delta2=d.delta2)
        if distillation is not None:
            loss = d.lambda_ * loss + (1 - d.lambda_) * distillation(out)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return run
