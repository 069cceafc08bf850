"""The teacher: a GNN trained with cross-entropy on the graph that training may see."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from .. import _dgl
from ..config import Config, TeacherConfig
from ..data import NodeDataset
from ..nn.gat import GAT
from ..nn.gcn import GCN
from ..nn.sage import SAGE
from .loop import OnEpoch, accuracy, fit, seed_everything


def build_teacher(config: TeacherConfig, in_features: int, classes: int) -> nn.Module:
    sizes = {"layers": config.layers, "dropout": config.dropout}
    if config.model == "gat":
        attention = {"heads": config.heads, "attention_dropout": config.attention_dropout}
        return GAT(in_features, config.hidden, classes, **sizes, **attention)  # type: ignore[arg-type]
    model = {"gcn": GCN, "sage": SAGE}[config.model]
    return model(in_features, config.hidden, classes, **sizes)  # type: ignore[arg-type]


def teacher_device(device: torch.device) -> torch.device:
    """The GPU if this DGL can put a graph there, else the CPU."""
    return device if device.type == "cpu" or _dgl.has_cuda() else torch.device("cpu")


def train_teacher(
    config: Config, view: NodeDataset, device: torch.device, seed: int, on_epoch: OnEpoch
) -> nn.Module:
    """Trains `config.teacher` on what training may see (`NodeDataset.observed_view`)."""
    seed_everything(seed)
    graph, labels = view.graph.to(device), view.labels.to(device)
    features = view.dense_features().to(device)
    train, val, test = (ids.to(device) for ids in (view.train, view.val, view.test))
    shown = "test" if config.data.setting == "transductive" else "test_observed"
    model = build_teacher(config.teacher, view.num_features, view.num_classes).to(device)

    def step() -> dict[str, Tensor]:
        return {"loss": cross_entropy(model(graph, features)[train], labels[train])}

    def evaluate() -> dict[str, float]:
        logits = model(graph, features)
        return {
            name: accuracy(logits[ids], labels[ids]) for name, ids in [("val", val), (shown, test)]
        }

    fit(
        model,
        step=step,
        evaluate=evaluate,
        optimizer=torch.optim.Adam(
            model.parameters(), lr=config.teacher.lr, weight_decay=config.teacher.weight_decay
        ),
        epochs=config.train.epochs,
        patience=config.train.patience,
        on_epoch=on_epoch,
    )
    return model


@torch.no_grad()
def teacher_logits(model: nn.Module, dataset: NodeDataset) -> Tensor:
    """Logits of all nodes, `[N, C]` on the CPU.

    Inductive: observed nodes see the observed graph alone, the others the whole graph.
    """
    device = next(model.parameters()).device

    def logits(data: NodeDataset) -> Tensor:
        return model(data.graph.to(device), data.dense_features().to(device)).cpu()

    out = logits(dataset)
    if dataset.parts.observed is not None:
        out[dataset.parts.observed] = logits(dataset.observed_view())
    return out
