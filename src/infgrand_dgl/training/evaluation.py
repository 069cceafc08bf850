"""What a trained model is worth: accuracy, macro-F1 and time."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.metrics import f1_score
from torch import Tensor

from ..data import NodeDataset
from .loop import accuracy


@torch.no_grad()
def evaluate(
    forward: Callable[[], Tensor], dataset: NodeDataset, logits: Tensor | None = None
) -> dict[str, Any]:
    """Accuracy and macro-F1 on each part, and the milliseconds of `forward` per 1000 nodes.

    OGB's evaluator judges the accuracy on OGB's sets.
    """
    out = (forward() if logits is None else logits).float().cpu()
    parts = {"val": dataset.val, "test": dataset.test}
    if len(dataset.parts.test_observed):
        parts["test_observed"] = dataset.parts.test_observed
    result: dict[str, Any] = {
        k: _accuracy(dataset.name, out[ids], dataset.labels[ids]) for k, ids in parts.items()
    }
    result["macro_f1"] = {
        k: float(f1_score(dataset.labels[ids], out[ids].argmax(dim=1), average="macro"))
        for k, ids in parts.items()
    }
    result["milliseconds_per_1000_nodes"] = 1e6 * _median_seconds(forward) / dataset.num_nodes
    return result


def _accuracy(name: str, logits: Tensor, labels: Tensor) -> float:
    if name.startswith("ogbn-"):
        from ..data import ogb

        return ogb.accuracy(name, logits, labels)
    return accuracy(logits, labels)


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
