"""What a trained model is worth: the metrics of its task, and time."""

import math
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
from .columns import mean
from .metrics import METRICS, Metric, accuracy, against_others, chosen, likeliest, of_task

PARTS = {  # of the nodes that models are judged by, by title
    "val": "validation",
    "test": "test",
    "test_observed": "test, observed",
    "test_cold": "test, cold",
    "production": "production",
}
REQUEST = 10  # nodes that are asked for at once, or all of fewer
TIMES = {  # of what is told of a model, by title
    "milliseconds_per_1000_nodes": "ms per 1000 nodes",
    "milliseconds_per_request": f"ms per request of {REQUEST}",
}

Read = Callable[[Tensor], Tensor]
Outputs = Callable[[Tensor, Read], Tensor]


def with_production(metrics: dict[str, Any], hidden: float) -> dict[str, Any]:
    """With the part `production` of every metric, as GLNN has it: of nodes that come to a model in
    use a share is new, hence (1 - hidden)·test_observed + hidden·test.

    Args:
        metrics: of `evaluate`, inductive.
        hidden: the share.
    """
    if "test_observed" in metrics:
        both = (1 - hidden) * metrics["test_observed"] + hidden * metrics["test"]
        metrics = {**metrics, "production": both}
    return {
        name: with_production(values, hidden) if name in METRICS else values
        for name, values in metrics.items()
    }


@torch.no_grad()
def evaluate(
    outputs: Outputs,
    dataset: NodeDataset,
    metric: str | None = None,
    *,
    cold: Outputs | None = None,
) -> dict[str, Any]:
    """By part of the split, for classes: accuracy (on OGB's sets by OGB's evaluator), macro-F1 and
    the metric. Beside them `predicted_classes`, how many there are, and `largest_class`, what the
    metric gives to predicting the part's most frequent class everywhere.

    For several labels, or numbers, every metric of the task of which the labels leave none
    undefined: the mean over the columns, and under `per_class` the columns on the test nodes, None
    where one is undefined.

    Args:
        outputs: (ids, read) to what is read of the outputs for these nodes (`Scorer.read`).
        metric: of `METRICS`; by default the task's usual one.
        cold: likewise of the test nodes as they are without their edges: the part `test_cold`.
    """
    parts = _parts(dataset) | ({} if cold is None else {"test_cold": dataset.test})
    labels = {part: dataset.labels[ids] for part, ids in parts.items()}

    def said(part: str, read: Read) -> Tensor:
        of = cold if part == "test_cold" and cold is not None else outputs
        return of(parts[part], read).cpu()

    if dataset.task != "classification":
        return _of_columns(said, labels, dataset)
    classes = {part: said(part, likeliest) for part in parts}
    C, of_choice = dataset.num_classes, chosen(metric, dataset.task)

    def values(metric: Metric) -> dict[str, float]:
        of = metric.of("classification")
        if of.read is likeliest:
            return {k: float(of.value(p, labels[k], C)) for k, p in classes.items()}
        return {k: float(of.value(said(k, of.read), labels[k], C)) for k in parts}

    metrics: dict[str, Any] = {k: _accuracy(dataset.name, p, labels[k]) for k, p in classes.items()}
    for each in dict.fromkeys((METRICS["macro_f1"], of_choice)):
        if each.name != "accuracy":
            metrics[each.name] = values(each)
    largest = of_choice.of("classification").of_largest_class
    metrics["predicted_classes"] = {k: len(p.unique()) for k, p in classes.items()}
    metrics["largest_class"] = {k: largest(y, C) for k, y in labels.items()}
    return metrics


@torch.no_grad()
def scores(outputs: Outputs, dataset: NodeDataset, metric: str | None = None) -> dict[str, float]:
    """The metric alone by part of the split, for those who choose by it; as in `evaluate`."""
    scorer, C = chosen(metric, dataset.task).of(dataset.task), dataset.num_classes
    return {
        part: float(scorer.value(outputs(ids, scorer.read).cpu(), dataset.labels[ids], C))
        for part, ids in _parts(dataset).items()
    }


def _parts(dataset: NodeDataset) -> dict[str, Tensor]:
    """The nodes of each part of the split that models are judged by."""
    parts = {"val": dataset.val, "test": dataset.test}
    if len(dataset.parts.test_observed):
        parts["test_observed"] = dataset.parts.test_observed
    return parts


def _of_columns(
    said: Callable[[str, Read], Tensor], labels: dict[str, Tensor], dataset: NodeDataset
) -> dict[str, Any]:
    scorers = {name: METRICS[name].of(dataset.task) for name in of_task(dataset.task)}
    found: dict[str, dict[str, Tensor]] = {name: {} for name in scorers}
    for part in labels:
        for read in dict.fromkeys(of.read for of in scorers.values()):
            kept = said(part, read)
            for name, of in scorers.items():
                if of.read is read and of.by_column is not None:
                    found[name][part] = of.by_column(kept, labels[part])
    metrics: dict[str, Any] = {
        name: {part: float(mean(columns)) for part, columns in values.items()}
        for name, values in found.items()
        if not any(columns.isnan().all() for columns in values.values())
    }
    metrics["per_class"] = {
        name: {"test": [None if math.isnan(v) else v for v in found[name]["test"].tolist()]}
        for name in metrics
    }
    return metrics


def check_defined(name: str | None, dataset: NodeDataset) -> None:
    """
    Raises:
        InputError: the task does not have the metric, or the nodes of a part of the split leave it
            undefined.
    """
    titles = {"val": "validation", "test": "test", "test_observed": "observed test"}
    metric = chosen(name, dataset.task)
    of = metric.of(dataset.task)
    for part, ids in _parts(dataset).items():
        labels = dataset.labels[ids]
        if of.by_column is None:
            found = len(labels.unique())
            if found < 2 and of.read is against_others:
                raise InputError(
                    f"train.metric: {metric.name} needs {titles[part]} nodes of two classes or "
                    f"more, found {found}; accuracy does not"
                )
        elif of.by_column(of.read(torch.full_like(labels, -1.0)), labels).isnan().all():
            raise InputError(
                f"train.metric: {metric.name} needs {metric.needs} among the {titles[part]} nodes, "
                "found none"
            )


def warning(metrics: dict[str, Any], metric: str) -> str | None:
    """Of a model that has learnt nothing that shows on the test nodes, by what `evaluate` found."""
    chosen = METRICS[metric]
    if "per_class" in metrics:
        return _worthless(metrics)
    largest = metrics["largest_class"]["test"]
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


def _worthless(metrics: dict[str, Any]) -> str | None:
    for name, least, what in (
        ("roc_auc", 0.5, "predicting how frequent each label is"),
        ("r2", 0.0, "predicting the mean"),
    ):
        if name in metrics and metrics[name]["test"] <= least:
            shown = METRICS[name].shown(metrics[name]["test"])
            percent = " %" * METRICS[name].percent
            told = f"{METRICS[name].label} {shown}{percent}"
            return f"is no better than {what} on the test nodes ({told})"
    return None


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


@torch.no_grad()
def milliseconds_per_request(serve: Callable[[Tensor], Tensor], num_nodes: int) -> float:
    """Until the logits of `REQUEST` nodes are there, others every time.

    Args:
        serve: ids, int64 `[b]` on the CPU, to logits.
    """
    draw = random.Random(0)
    asked = (torch.tensor(draw.sample(range(num_nodes), min(REQUEST, num_nodes))) for _ in count())
    return 1e3 * _median_seconds(lambda: serve(next(asked)))


def _median_seconds(call: Callable[[], Tensor]) -> float:
    """Median wall time of up to 50 calls in half a second, the first left out if others fit."""
    times: list[float] = []
    while len(times) <= 50 and sum(times) < 0.5:
        start = time.perf_counter()
        if call().is_cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:] or times))


def summary(values: Sequence[Any]) -> dict[str, Any]:
    """Seeds' results, key by key, as mean, population standard deviation and list.

    Of lists (one value a column, or None) the mean and the standard deviation are lists, over the
    seeds in which a column has a value. What not every seed has is left out.
    """
    if isinstance(values[0], dict):
        common = [key for key in values[0] if all(key in v for v in values)]
        return {key: summary([v[key] for v in values]) for key in common}
    if isinstance(values[0], list):
        known = [[v for v in column if v is not None] for column in zip(*values, strict=True)]
        return {
            "mean": [float(np.mean(column)) if column else None for column in known],
            "std": [float(np.std(column)) if column else None for column in known],
            "per_seed": list(values),
        }
    return {"mean": float(np.mean(values)), "std": float(np.std(values)), "per_seed": list(values)}
