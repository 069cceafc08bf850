"""What a student minimises: one entry of METHODS for each method. Another's goes here.

A method says what it needs, and makes an `Objective`: its loss as a sum over nodes, so that it goes
by batches, over processes and from files like every other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..config.schema import Config
from ..data import NodeDataset
from ..data.dataset import UNLABELLED
from ..errors import InputError
from ..graph.csr import CSRGraph
from ..system.arrays import new_array
from ..system.kept import kept
from ..system.memory import Budget
from ..training.batches import Rows
from ..training.loop import Surroundings
from .loss import DistillationLoss, supervised_loss


@dataclass(frozen=True)
class Objective:
    """A loss that is a sum over nodes.

    Args:
        rows: what the loss needs of each node, `[n, ...]` each.
        losses: from logits `[b, C]` of some nodes, at least float32, and their rows, their part of
            "loss", which is minimised, and of the terms that the history records. It must not wait
            for a GPU: no mask that makes a shape, no number read.
        nodes: the nodes of the rows, int64 `[n]`; None: all.
        whole: whether it takes all nodes at once, in order.
    """

    rows: Rows
    losses: Callable[[Tensor, Rows], dict[str, Tensor]]
    nodes: Tensor | None = None
    whole: bool = False


@dataclass(frozen=True)
class Method:
    """
    Args:
        objective: (config, what training may see, influence `[N]` or None, the teacher's logits
            `[N, C]` or None, surroundings, budget) to the loss.
        propagated: whether the student reads propagated features, where `student.features` is auto.
        teacher, influence: what it needs.
        settings: the keys of `distillation` that it reads; None: all.
    """

    objective: Callable[..., Objective]
    propagated: bool = False
    teacher: bool = True
    influence: bool = False
    settings: set[str] | None = None


def infgrand(
    config: Config,
    view: NodeDataset,
    influence: Tensor,
    logits: Tensor,
    at: Surroundings,
    budget: Budget,
) -> Objective:
    r"""$L = \lambda L_s + (1 - \lambda) L_d$ (paper: "The Complete Objective")."""
    d = config.distillation
    knobs = {"gamma1": d.gamma1, "gamma2": d.gamma2, "kl": d.kl, "edge_weighting": d.edge_weighting}
    distillation = _distillation(config, view.csr, influence, logits, at, budget, knobs)
    return _distilling(config, view, distillation, influence, d.delta1, d.delta2)


def glnn(
    config: Config,
    view: NodeDataset,
    influence: Tensor | None,
    logits: Tensor,
    at: Surroundings,
    budget: Budget,
) -> Objective:
    r"""GLNN (Zhang et al., ICLR 2022): $\lambda\,\mathrm{mean_L}(CE) + (1 - \lambda)\,
    \mathrm{mean_N}\,\mathrm{KL}(\sigma(h^t_i/\tau) \| \sigma(h^s_i/\tau))$.

    That is the edge-wise loss on a graph of self-loops: every node learns from itself alone.
    """
    N = view.num_nodes
    itself = CSRGraph(torch.arange(N + 1), torch.arange(N, dtype=torch.int32), N, symmetric=True)
    same = torch.zeros(N)
    knobs = {"gamma1": 1.0, "gamma2": 0.0, "kl": "forward", "edge_weighting": "edges"}
    distillation = _distillation(config, itself, same, logits, at, budget, knobs)
    return _distilling(config, view, distillation, same, 1.0, 0.0)


def mlp(
    config: Config,
    view: NodeDataset,
    influence: Tensor | None,
    logits: Tensor | None,
    at: Surroundings,
    budget: Budget,
) -> Objective:
    """Cross-entropy on the training nodes."""
    count = len(view.train)
    if config.student.norm == "batch" and count < 2:
        raise InputError("student.norm: batch needs two training nodes for an MLP, found one")

    def losses(out: Tensor, batch: Rows) -> dict[str, Tensor]:
        return {"loss": cross_entropy(out, batch["labels"], reduction="sum") / count}

    return Objective({"labels": view.labels[view.train]}, losses, view.train)


METHODS = {
    "infgrand": Method(infgrand, propagated=True, influence=True),
    "glnn": Method(glnn, settings={"lambda_", "tau", "loss"}),
    "mlp": Method(mlp, teacher=False, settings=set()),
}


def reads_propagated(config: Config) -> bool:
    """Whether the student's inputs are propagated features."""
    if config.student.features == "auto":
        return METHODS[config.method].propagated
    return config.student.features == "propagated"


def _distilling(
    config: Config,
    view: NodeDataset,
    distillation: DistillationLoss,
    influence: Tensor,
    delta1: float,
    delta2: float,
) -> Objective:
    labels = torch.full((view.num_nodes,), UNLABELLED)
    labels[view.train] = view.labels[view.train]
    rows: Rows = {"labels": labels, "influence": influence.float()}
    whole = distillation.form != "collapsed"
    if not whole:
        rows |= distillation.per_node()
    lambda_ = config.distillation.lambda_

    def losses(out: Tensor, batch: Rows) -> dict[str, Tensor]:
        supervised = supervised_loss(
            out,
            batch["labels"],
            batch["influence"],
            delta1=delta1,
            delta2=delta2,
            count=len(view.train),
        )
        distilled = distillation(out, *(() if whole else (batch["targets"], batch["own"])))
        total = lambda_ * supervised + (1 - lambda_) * distilled
        return {"loss": total, "supervised_loss": supervised, "distillation_loss": distilled}

    return Objective(rows, losses, whole=whole)


def _distillation(
    config: Config,
    csr: CSRGraph,
    influence: Tensor,
    logits: Tensor,
    at: Surroundings,
    budget: Budget,
    knobs: dict[str, Any],
) -> DistillationLoss:
    """The loss, its targets in memory or in a file."""
    d = config.distillation
    N, C = logits.shape
    knobs = {**knobs, "tau": d.tau, "form": d.loss}
    # The aggregated matrix and its sums, and what the product and each row hold beside.
    beside = 256 * N
    if d.loss != "collapsed" or budget.fits_on(at.device, 12 * N * C + beside):
        return DistillationLoss(kept(csr, at.device), logits.to(at.device), influence, **knobs)
    out = None
    if budget.left() < 12 * N * C and at.scratch is not None:
        out = new_array(at.scratch / f"targets-{at.ranks.rank}.npy", (N, C), "float32")
    columns = max(1, min(C, (budget.left() - beside) // (8 * N)))
    return DistillationLoss(csr, logits, influence, columns=columns, out=out, **knobs)
