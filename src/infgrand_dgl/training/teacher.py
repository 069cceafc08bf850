"""The teacher: a GNN trained with cross-entropy on the graph that training may see."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from .. import _dgl
from ..config import Config, TeacherConfig
from ..data import NodeDataset
from ..nn.gat import GAT
from ..nn.gcn import GCN
from ..nn.gnn import GNN, Backend
from ..nn.native import Graph
from ..nn.sage import SAGE
from ..sparse import Inputs, SparseMatrix, first_layer_input
from .loop import OnEpoch, Surroundings, accuracy, adam, fit, seed_everything


def build_teacher(config: TeacherConfig, in_features: int, classes: int) -> GNN:
    """The model that `config` describes; backend "auto" is native, the faster one."""
    backend: Backend = "dgl" if config.backend == "dgl" else "native"
    options: dict[str, Any] = {"layers": config.layers, "dropout": config.dropout}
    if config.model == "gat":
        options |= {"heads": config.heads, "attention_dropout": config.attention_dropout}
    model = {"gcn": GCN, "sage": SAGE, "gat": GAT}[config.model]
    return model(in_features, config.hidden, classes, **options, backend=backend)


def teacher_device(config: TeacherConfig, device: torch.device) -> torch.device:
    """`device`, but the CPU for a DGL that can put no graph on the GPU."""
    if config.backend == "dgl" and device.type == "cuda" and not _dgl.has_cuda():
        return torch.device("cpu")
    return device


def teacher_inputs(
    model: GNN, data: NodeDataset, inputs: Inputs = "dense"
) -> tuple[Graph, Tensor | SparseMatrix]:
    """Graph and features as the model's backend takes them, on its device."""
    device = next(model.parameters()).device
    if model.backend == "native":
        return data.csr.to(device), first_layer_input(data.features, device, inputs)
    return data.graph.to(device), data.dense_features().to(device)


def train_teacher(
    config: Config, view: NodeDataset, at: Surroundings, seed: int, on_epoch: OnEpoch
) -> GNN:
    """Trains `config.teacher` on what training may see (`NodeDataset.observed_view`).

    Returns:
        The teacher with its best weights.
    """
    seed_everything(seed)
    device = at.device
    labels = view.labels.to(device)
    train, val, test = (ids.to(device) for ids in (view.train, view.val, view.test))
    shown = "test" if config.data.setting == "transductive" else "test_observed"
    model = build_teacher(config.teacher, view.num_features, view.num_classes).to(device)
    graph, features = teacher_inputs(model, view, config.train.inputs)

    def steps(epoch: int) -> Iterator[dict[str, Tensor]]:
        yield {"loss": cross_entropy(model(graph, features)[train], labels[train])}

    def evaluate() -> dict[str, float]:
        logits = model(graph, features)
        return {
            name: accuracy(logits[ids], labels[ids]) for name, ids in [("val", val), (shown, test)]
        }

    fit(
        model,
        steps=steps,
        evaluate=evaluate,
        optimizer=adam(model, config.teacher),
        epochs=config.train.epochs,
        patience=config.train.patience,
        on_epoch=on_epoch,
        checkpoint=at.checkpoint,
        ranks=at.ranks,
    )
    return model


@torch.no_grad()
def teacher_logits(
    model: GNN, dataset: NodeDataset, budget=None, scratch=None, dtype=torch.float32
) -> Tensor:
    """Logits of all nodes, `[N, C]` on the CPU.

    Inductive: observed nodes see the observed graph alone, the others the whole graph.
    """

    def logits(data: NodeDataset) -> Tensor:
        return model(*teacher_inputs(model, data)).cpu()

    out = logits(dataset)
    if dataset.parts.observed is not None:
        out[dataset.parts.observed] = logits(dataset.observed_view())
    return out


def is_sampled(config, view, device, budget) -> bool:
    return False


def load_logits(path, N, C):
    return torch.zeros(N, C)
