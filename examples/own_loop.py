"""The library in a training loop of your own: `python examples/own_loop.py`, no download.

A teacher, influence and propagated features are computed once. Then a student trains, in plain
torch, and needs no graph.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from infgrand_dgl import (
    DistillationLoss,
    influence_scores,
    load_dataset,
    propagate_features,
    supervised_loss,
)


def fit(
    model: nn.Module, x: Tensor, loss_of: Callable[[Tensor], Tensor], epochs: int = 100
) -> Tensor:
    """Trains on all rows of x; returns the logits, [N, C]."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(epochs):
        model.train()
        optimizer.zero_grad()
        loss_of(model(x)).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        return model(x)


def accuracy(logits: Tensor, labels: Tensor) -> float:
    return (logits.argmax(dim=1) == labels).float().mean().item()


def main() -> None:
    torch.manual_seed(0)
    data = load_dataset("demo")  # or any undirected DGLGraph, features [N, D] and labels [N]
    graph, labels, train, test = data.graph, data.labels, data.train, data.test
    classes = data.num_classes

    # Once, on the graph. The teacher may be any model: what is needed are its logits [N, C].
    influence = influence_scores(graph, data.features)  # [N]
    x = propagate_features(graph, data.features, hops=2)  # [N, D]
    teacher = fit(
        nn.Linear(x.shape[1], classes), x, lambda h: cross_entropy(h[train], labels[train])
    )
    distillation = DistillationLoss(graph, teacher, influence, gamma1=1.0, gamma2=0.2, tau=0.5)

    # The student, without the graph: L = λ·L_s + (1 - λ)·L_d.
    def loss(h: Tensor) -> Tensor:
        supervised = supervised_loss(
            h[train], labels[train], influence[train], delta1=1.0, delta2=0.2
        )
        return 0.1 * supervised + 0.9 * distillation(h)

    hidden = 32
    student = nn.Sequential(
        nn.Linear(x.shape[1], hidden), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, classes)
    )
    logits = fit(student, x, loss)
    print(f"teacher {accuracy(teacher[test], labels[test]):.3f}")
    print(f"student {accuracy(logits[test], labels[test]):.3f}")


if __name__ == "__main__":
    main()
