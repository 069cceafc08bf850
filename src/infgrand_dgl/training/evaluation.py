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
    forward: Callable[[], Tensor] | None, dataset: NodeDataset, logits: Tensor | None = None
) -> dict[str, Any]:
    """Accuracy and macro-F1 on each part, and the milliseconds of `forward` per 1000 nodes.

    Args:
        forward: the model on all nodes; None where there is none, or it does not fit: not timed.
        logits: `[N, C]`, judged instead of what `forward` returns.
    """
    if logits is None:
        if forward is None:
            raise ValueError("evaluate: expected forward or logits, found neither")
        logits = forward()
    parts = {"val": dataset.val, "test": dataset.test}
    if len(dataset.parts.test_observed):
        parts["test_observed"] = dataset.parts.test_observed
    out = {k: logits[ids.to(logits.device)].float().cpu() for k, ids in parts.items()}
    result: dict[str, Any] = {k: accuracy(out[k], dataset.labels[ids]) for k, ids in parts.items()}
    result["macro_f1"] = {
        k: float(f1_score(dataset.labels[ids], out[k].argmax(dim=1), average="macro"))
        for k, ids in parts.items()
    }
    if forward is not None:
        result["milliseconds_per_1000_nodes"] = 1e6 * _median_seconds(forward) / dataset.num_nodes
    return result


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
