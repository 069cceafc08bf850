"""The student: an MLP on propagated features, and the plain MLP it is compared with."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from ..config import Config
from ..data import NodeDataset
from ..data.dataset import UNLABELLED
from ..distillation import DistillationLoss, supervised_loss
from ..errors import InputError
from ..files import is_mapped, new_array, release
from ..nn.mlp import MLP
from ..resources import Budget
from ..sparse import SparseMatrix, first_layer_input
from .batches import NodeBatches, Rows
from .loop import OnEpoch, Surroundings, adam, fit, seed_everything

ROWS_AT_ONCE = 1 << 14  # of an evaluation, and at least from a file
LARGEST_STEP = 1 << 16  # nodes of a step whose size nobody gave, where all do not fit
Features = Tensor | SparseMatrix


def train_student(
    config: Config,
    view: NodeDataset,
    inputs: Tensor,
    influence: Tensor,
    logits: Tensor,
    at: Surroundings,
    seed: int,
    on_epoch: OnEpoch,
) -> MLP:
    r"""Distils into an MLP: $L = \lambda L_s + (1 - \lambda) L_d$ ("The Complete Objective").

    A step sees all nodes where they fit, or `student.batch_size` of them; both losses are sums over
    nodes, so that the mean of an epoch's gradients at fixed weights is the gradient of L.

    Args:
        view: what training may see; ids and rows below are its own.
        inputs: $\tilde X$, `[N, D]`, floating point, possibly memory-mapped.
        influence: $I_g$, `[N]`.
        logits: the teacher's, `[N, C]`, likewise.

    Returns:
        The student with its best weights.
    """
    budget = at.budget or Budget.of(config.resources)
    distillation = _distillation(config, view, influence, logits, at, budget)
    labels = torch.full((view.num_nodes,), UNLABELLED)
    labels[view.train] = view.labels[view.train]
    x, size, pool = _placed(config, inputs, view.num_classes, at, budget)
    rows: Rows = {"x": x, "labels": labels, "influence": influence.float()}
    if distillation.form == "collapsed":
        rows |= distillation.per_node()
    elif size is not None or at.ranks.size > 1:
        raise InputError(
            f"distillation.loss: {distillation.form} needs all nodes in one step of one process; "
            "collapsed does not"
        )
    where = at.device if pool is None else torch.device("cpu")
    rows = {name: values.to(where) for name, values in rows.items()}
    batches = NodeBatches(rows, size, at.device, pool=pool, ranks=at.ranks, seed=seed)
    d, share = config.distillation, at.ranks.size * len(batches)

    def losses(forward: Callable[[Features], Tensor], batch: Rows) -> dict[str, Tensor]:
        out = forward(batch["x"])
        mine = batch["labels"] != UNLABELLED
        supervised = supervised_loss(
            out[mine],
            batch["labels"][mine],
            batch["influence"][mine],
            delta1=d.delta1,
            delta2=d.delta2,
            count=len(view.train),
        )
        part = (batch["targets"], batch["own"]) if "targets" in batch else ()
        distilled = distillation(out, *part)
        total = d.lambda_ * supervised + (1 - d.lambda_) * distilled
        found = {"loss": total, "supervised_loss": supervised, "distillation_loss": distilled}
        return {name: share * loss for name, loss in found.items()}

    return _train(config, view, x, batches, losses, at, seed, on_epoch)


def train_mlp(
    config: Config, view: NodeDataset, at: Surroundings, seed: int, on_epoch: OnEpoch
) -> MLP:
    """The plain MLP: raw features, cross-entropy on the training nodes, the student's sizes."""
    if config.student.norm == "batch" and len(view.train) < 2:
        raise InputError("train.mlp: student.norm: batch needs two training nodes, found one")
    budget = at.budget or Budget.of(config.resources)
    x, size, pool = _placed(config, view.features, view.num_classes, at, budget)
    rows: Rows = {"x": x[view.train.to(x.device)], "labels": view.labels[view.train].to(x.device)}
    batches = NodeBatches(rows, size, at.device, pool=pool, ranks=at.ranks, seed=seed)
    share = at.ranks.size * len(batches) / len(view.train)

    def losses(forward: Callable[[Features], Tensor], batch: Rows) -> dict[str, Tensor]:
        out = forward(batch["x"]).float()
        return {"loss": share * cross_entropy(out, batch["labels"], reduction="sum")}

    return _train(config, view, x, batches, losses, at, seed, on_epoch)


def _train(
    config: Config,
    view: NodeDataset,
    inputs: Features,
    batches: NodeBatches,
    losses: Callable[[Callable[[Features], Tensor], Rows], dict[str, Tensor]],
    at: Surroundings,
    seed: int,
    on_epoch: OnEpoch,
) -> MLP:
    seed_everything(seed)
    s = config.student
    model = MLP(
        inputs.shape[1], s.hidden, view.num_classes, layers=s.layers, dropout=s.dropout, norm=s.norm
    ).to(at.device)
    if config.train.compile:
        model.compile()
    whole: nn.Module = model
    if at.ranks.size > 1:
        if at.device.type == "cuda" and s.norm == "batch":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        whole = DistributedDataParallel(model)
    shown = "test" if config.data.setting == "transductive" else "test_observed"
    judged = {
        name: (ids, view.labels[ids].to(at.device))
        for name, ids in (("val", view.val), (shown, view.test))
    }
    autocast = torch.autocast(
        at.device.type, torch.bfloat16, enabled=config.train.precision == "bfloat16"
    )

    def steps(epoch: int) -> Iterator[dict[str, Tensor]]:
        for batch in batches.epoch(epoch):
            with autocast:
                found = losses(lambda x: whole(_float(x)), batch)
            yield found

    def evaluate() -> dict[str, float]:
        with autocast:
            return {
                name: float((classes(model, inputs, ids, at.device) == labels).double().mean())
                for name, (ids, labels) in judged.items()
            }

    fit(
        model,
        steps=steps,
        evaluate=evaluate,
        optimizer=adam(model, s),
        epochs=config.student.epochs or config.train.epochs,
        patience=config.train.patience,
        on_epoch=on_epoch,
        checkpoint=at.checkpoint,
        ranks=at.ranks,
    )
    return model


def classes(model: MLP, inputs: Features, ids: Tensor, device: torch.device) -> Tensor:
    """The likeliest class of the nodes, int64 `[n]`, from their rows of `inputs`."""
    found = []
    for part in ids.split(ROWS_AT_ONCE):
        x = inputs[part.to(inputs.device)]
        if isinstance(inputs, Tensor):
            release(inputs)
        found.append(model(_float(x.to(device))).argmax(dim=1))
    return torch.cat(found) if found else ids.to(device)


def _float(x: Features) -> Features:
    return x.float() if isinstance(x, Tensor) else x


def _distillation(
    config: Config,
    view: NodeDataset,
    influence: Tensor,
    logits: Tensor,
    at: Surroundings,
    budget: Budget,
) -> DistillationLoss:
    d = config.distillation
    N, C = logits.shape
    knobs: dict[str, Any] = {"gamma1": d.gamma1, "gamma2": d.gamma2, "tau": d.tau, "kl": d.kl}
    knobs |= {"edge_weighting": d.edge_weighting, "form": d.loss}
    # The aggregated matrix and its sums, and what the product and each row hold beside.
    beside = 256 * N
    if d.loss != "collapsed" or 12 * N * C + beside < budget.left(at.device):
        return DistillationLoss(view.csr, logits.to(at.device), influence, **knobs)
    out = None
    if budget.left() < 12 * N * C and at.scratch is not None:
        out = new_array(at.scratch / f"targets-{at.ranks.rank}.npy", (N, C), "float32")
    columns = max(1, min(C, (budget.left() - beside) // (8 * N)))
    return DistillationLoss(view.csr, logits, influence, columns=columns, out=out, **knobs)


def _placed(
    config: Config, x: Tensor, classes: int, at: Surroundings, budget: Budget
) -> tuple[Features, int | None, int | None]:
    """Inputs where batches take them from, nodes per step, and rows to read together.

    On the device, all in one step, where that fits; else by steps, and where the inputs alone do
    not fit, from where they lie, so many rows at a time. The first process decides for all.
    """
    s, left = config.student, budget.left(at.device)
    N = x.shape[0]
    per_row = 4 * x.shape[1] + 4 * classes + 32  # inputs, targets, own term, label, influence
    # Each hidden layer keeps its product, what of it passed ReLU and dropout, and gradients.
    per_node = 20 * s.hidden * (s.layers - 1) + 24 * classes
    size = s.batch_size
    if size is None and N * (per_node // at.ranks.size + per_row) > left:
        size = min(LARGEST_STEP, max(1024, left // 2 // per_node))
    if size is not None and size >= N:
        size = None
    here = at.device.type == "cpu" and not is_mapped(x)
    pool = None if here or N * per_row < left else max(ROWS_AT_ONCE, left // 8 // per_row)
    size, pool = at.ranks.tell((size, pool))
    if pool is None:
        x = x.clone() if is_mapped(x) else x
        return first_layer_input(x, at.device, config.train.inputs), size, None
    return x, size or min(LARGEST_STEP, N), pool
