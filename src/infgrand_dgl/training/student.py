"""The student: an MLP on propagated features, and the plain MLP it is compared with."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..config import Config
from ..data import NodeDataset
from ..distillation import DistillationLoss, supervised_loss
from ..errors import InputError
from ..nn.mlp import MLP
from ..sparse import SparseMatrix, first_layer_input
from .loop import OnEpoch, accuracy, adam, fit, seed_everything


def train_student(
    config: Config,
    view: NodeDataset,
    inputs: Tensor,
    influence: Tensor,
    logits: Tensor,
    device: torch.device,
    seed: int,
    on_epoch: OnEpoch,
) -> MLP:
    r"""Distils into an MLP: $L = \lambda L_s + (1 - \lambda) L_d$ ("The Complete Objective").

    Args:
        view: what training may see; ids and rows below are its own.
        inputs: $\tilde X$, `[N, D]`.
        influence: $I_g$, `[N]`.
        logits: the teacher's, `[N, C]`.
    """
    d = config.distillation
    distillation = DistillationLoss(
        view.csr,
        logits.to(device),
        influence,
        gamma1=d.gamma1,
        gamma2=d.gamma2,
        tau=d.tau,
        kl=d.kl,
        edge_weighting=d.edge_weighting,
        form=d.loss,
    )
    train, labels = view.train.to(device), view.labels[view.train].to(device)
    weight = influence[view.train].to(device)

    def losses(out: Tensor) -> dict[str, Tensor]:
        supervised = supervised_loss(out[train], labels, weight, delta1=d.delta1, delta2=d.delta2)
        distilled = distillation(out)
        total = d.lambda_ * supervised + (1 - d.lambda_) * distilled
        return {"loss": total, "supervised_loss": supervised, "distillation_loss": distilled}

    everything = first_layer_input(inputs, device, config.train.inputs)
    return _train(config, view, everything, lambda m: losses(m(everything)), device, seed, on_epoch)


def train_mlp(
    config: Config, view: NodeDataset, device: torch.device, seed: int, on_epoch: OnEpoch
) -> MLP:
    """The plain MLP: raw features, cross-entropy on the training nodes, the student's sizes."""
    if config.student.norm == "batch" and len(view.train) < 2:
        raise InputError("train.mlp: student.norm: batch needs two training nodes, found one")
    inputs = first_layer_input(view.features, device, config.train.inputs)
    train = view.train.to(device)
    x, labels = inputs[train], view.labels.to(device)[train]

    def loss(model: MLP) -> dict[str, Tensor]:
        return {"loss": cross_entropy(model(x).float(), labels)}

    return _train(config, view, inputs, loss, device, seed, on_epoch)


def _train(
    config: Config,
    view: NodeDataset,
    inputs: Tensor | SparseMatrix,
    losses: Callable[[MLP], dict[str, Tensor]],
    device: torch.device,
    seed: int,
    on_epoch: OnEpoch,
) -> MLP:
    seed_everything(seed)
    s = config.student
    model = MLP(
        inputs.shape[1], s.hidden, view.num_classes, layers=s.layers, dropout=s.dropout, norm=s.norm
    ).to(device)
    shown = "test" if config.data.setting == "transductive" else "test_observed"
    judged = {
        name: (inputs[ids.to(device)], view.labels[ids].to(device))
        for name, ids in (("val", view.val), (shown, view.test))
    }
    autocast = torch.autocast(
        device.type, torch.bfloat16, enabled=config.train.precision == "bfloat16"
    )

    def steps(epoch: int) -> Iterator[dict[str, Tensor]]:
        with autocast:
            found = losses(model)
        yield found

    def evaluate() -> dict[str, float]:
        with autocast:
            return {name: accuracy(model(x), labels) for name, (x, labels) in judged.items()}

    fit(
        model,
        steps=steps,
        evaluate=evaluate,
        optimizer=adam(model, s),
        epochs=config.train.epochs,
        patience=config.train.patience,
        on_epoch=on_epoch,
    )
    return model
