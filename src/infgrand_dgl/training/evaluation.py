"""What a trained model is worth: accuracy, macro-F1, the configured metric, and time."""

import random
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data import NodeDataset
from ..errors import InputError
from ..registry import sources
from .metrics import METRICS, Metric, against_others, likeliest

REQUEST = 10  # nodes that are asked for at once, or all of fewer
TIMES = {  # of what is told of a model, by title
    "milliseconds_per_1000_nodes": "ms per 1000 nodes",
    "milliseconds_per_request": f"ms per request of {REQUEST}",
}

Read = Callable[[Tensor], Tensor]


@torch.no_grad()
def evaluate(
    outputs: Callable[[Tensor, Read], Tensor], dataset: NodeDataset, metric: str = "accuracy"
) -> dict[str, Any]:
    """By part of the split: accuracy (on OGB's sets by OGB's evaluator), macro-F1 and the metric.

    Beside them `predicted_classes`, how many there are, and `largest_class`, what the metric gives
    to predicting the part's most frequent class everywhere.

    Args:
        outputs: (ids, read) to what is read of the logits of these nodes (`Metric.read`).
        metric: of `METRICS`.
    """
    parts = {"val": dataset.val, "test": dataset.test}
    if len(dataset.parts.test_observed):
        parts["test_observed"] = dataset.parts.test_observed
    labels = {part: dataset.labels[ids] for part, ids in parts.items()}
    classes = {part: outputs(ids, likeliest).cpu() for part, ids in parts.items()}
    C, chosen = dataset.num_classes, METRICS[metric]

    def values(of: Metric) -> dict[str, float]:
        if of.read is likeliest:
            return {k: float(of.value(p, labels[k], C)) for k, p in classes.items()}
        return {
            k: float(of.value(outputs(ids, of.read).cpu(), labels[k], C))
            for k, ids in parts.items()
        }

    metrics: dict[str, Any] = {k: _accuracy(dataset.name, p, labels[k]) for k, p in classes.items()}
    for each in dict.fromkeys((METRICS["macro_f1"], chosen)):
        if each.name != "accuracy":
            metrics[each.name] = values(each)
    metrics["predicted_classes"] = {k: len(p.unique()) for k, p in classes.items()}
    metrics["largest_class"] = {k: chosen.of_largest_class(y, C) for k, y in labels.items()}
    return metrics


def check_defined(name: str, dataset: NodeDataset) -> None:
    """
    Raises:
        InputError: the nodes of a part of the split leave the metric undefined.
    """
    parts = {"validation": dataset.val, "test": dataset.test}
    if len(dataset.parts.test_observed):
        parts["observed test"] = dataset.parts.test_observed
    for part, ids in parts.items():
        labels = dataset.labels[ids]
        found = len(labels.unique())
        if found < 2 and METRICS[name].read is against_others:
            raise InputError(
                f"train.metric: {name} needs {part} nodes of two classes or more, found {found}; "
                "accuracy does not"
            )


def warning(metrics: dict[str, Any], metric: str) -> str | None:
    """Of a model that tells no classes apart on the test nodes, by what `evaluate` found of it."""
    chosen, largest = METRICS[metric], metrics["largest_class"]["test"]
    found = chosen.of_model(metrics)["test"]
    if largest == 1:  # there is one class alone
        return None
    if metrics["predicted_classes"]["test"] == 1:
        what = "predicts one class only"
    elif found <= largest:
        what = "is no better than predicting the largest class"
    else:
        return None
    return (
        f"{what} on the test nodes ({chosen.label} {100 * found:.1f} %, of the largest class "
        f"{100 * largest:.1f} %); train.metric and train.class_weights are for imbalanced classes"
    )


def _accuracy(name: str, predicted: Tensor, labels: Tensor) -> float:
    source = sources.get(name)
    if source is not None and source.accuracy is not None:
        return source.accuracy(name, predicted, labels)
    return float(METRICS["accuracy"].value(predicted, labels, 0))


@torch.no_grad()
def milliseconds_per_1000_nodes(forward: Callable[[], Tensor]) -> float:
    """Of a pass that returns the logits of its nodes, `[n, C]`."""
    rows = len(forward())
    return 1e6 * _median_seconds(forward) / rows


@torch.no_grad()
def milliseconds_per_request(serve: Callable[[Tensor], Tensor], num_nodes: int) -> float:
    """Until the logits of `REQUEST` nodes are there, others every time.

    Args:
        serve: ids, int64 `[b]` on the CPU, to logits.
    """
    draw = random.Random(0)
    asked = (torch.tensor(draw.sample(range(num_nodes), min(REQUEST, num_nodes))) for _ in count())
    return 1e3 * _median_seconds(lambda: serve(next(asked)))


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
