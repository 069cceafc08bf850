"""What a trained model is worth: accuracy, macro-F1 and time."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.metrics import f1_score
from torch import Tensor

from ..data import NodeDataset
from ..registry import sources
from .loop import accuracy


@torch.no_grad()
def evaluate(predicted: Callable[[Tensor], Tensor], dataset: NodeDataset) -> dict[str, Any]:
    """Accuracy (on OGB's sets by OGB's evaluator) and macro-F1 on each part.

    Args:
        predicted: the classes of nodes, int64 `[n]`, by their ids.
    """
    parts = {"val": dataset.val, "test": dataset.test}
    if len(dataset.parts.test_observed):
        parts["test_observed"] = dataset.parts.test_observed
    pairs = {k: (predicted(ids).cpu(), dataset.labels[ids]) for k, ids in parts.items()}
    metrics: dict[str, Any] = {k: _accuracy(dataset.name, *pair) for k, pair in pairs.items()}
    metrics["macro_f1"] = {
        k: float(f1_score(y, p, average="macro", zero_division=0)) for k, (p, y) in pairs.items()
    }
    return metrics


def _accuracy(name: str, predicted: Tensor, labels: Tensor) -> float:
    source = sources.get(name)
    if source is not None and source.accuracy is not None:
        return source.accuracy(name, predicted, labels)
    return float(accuracy(predicted, labels))


@torch.no_grad()
def milliseconds_per_1000_nodes(forward: Callable[[], Tensor]) -> float:
    """Of a pass that returns the logits of its nodes, `[n, C]`."""
    rows = len(forward())
    return 1e6 * _median_seconds(forward) / rows


def _median_seconds(call: Callable[[], Tensor], budget: float = 0.5) -> float:
    """Median wall time of up to 50 calls within the budget, the first left out if others fit."""
    times: list[float] = []
    while len(times) <= 50 and sum(times) < budget:
        start = time.perf_counter()
        if call().is_cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:] or times))


def summary(values: Sequence[Any]) -> dict[str, Any]:
    """Seeds' results, key by key, as mean, population standard deviation and list."""
    if isinstance(values[0], dict):
        return {key: summary([v[key] for v in values]) for key in values[0]}
    return {"mean": float(np.mean(values)), "std": float(np.std(values)), "per_seed": list(values)}
