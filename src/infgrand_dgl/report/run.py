"""A run: its tables from metrics.json, its pictures from what the run holds of every node."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data import NodeDataset, load_source, with_split
from ..errors import InputError
from ..experiment.directory import RunDirectory
from ..experiment.graph_state import GraphState
from ..experiment.history import read_history
from ..experiment.refreshing import grown
from ..present.style import look, models
from ..serving import load_classes
from ..system.reading import reading
from ..training.metrics import recorded
from . import columns, sections
from .content import Part, Section, Table
from .metrics import Metrics, lead, model_scores, origin, results, times
from .predictions import Predictions, influence_scores, predictions


def run_part(path: Path, title: str) -> tuple[Part, Metrics]:
    """The report of a run directory, and its metrics for `comparison`.

    Raises:
        InputError: a file of the run is missing or damaged, or its dataset cannot be loaded or is
            another one by now.
    """
    run = RunDirectory.open(path)
    config, seed = run.config, run.best_seed()
    classes = load_classes(run.weights(seed, "student"))
    with reading(path / "metrics.json", "written by train"):
        metrics = json.loads((path / "metrics.json").read_text())
        tables = results(metrics, config), times(metrics), origin(metrics, classes)
        summary = lead(metrics)
    dataset = with_split(load_source(config.data), config.data, seed)
    if run.graph.is_dir():
        dataset = grown(dataset, GraphState.open(run.graph))
        summary += " Its graph was updated: pictures are of it as it is, tables of metrics.json."
    _check_same(metrics["dataset"], dataset, path, run.graph.is_dir())
    test = predictions(run, dataset, seed, dataset.test, [m for m in models() if m in metrics])
    scores = influence_scores(run, seed, dataset.num_nodes)
    degrees = (dataset.csr.row_lengths - 1).numpy()  # the self-loop is no neighbour
    scored = test
    if scores is not None and np.isnan(scores[test.nodes]).any():  # training did not see them
        observed = dataset.parts.test_observed
        scored = predictions(run, dataset, seed, observed, list(test.outputs))
    with reading(path / "history.csv", "a history written by train"):
        history = read_history(path / "history.csv")
    parts = [
        tables[0],
        sections.training(history, recorded(metrics)),
        sections.influence(scores, degrees, config) if scores is not None else None,
        sections.accuracy(test, scored, scores, degrees, seed),
        _of_task(metrics, test, dataset.class_names, seed),
        *tables[1:],
        Section("Configuration", listing=(path / "config.yaml").read_text()),
    ]
    return Part("Run", title, summary, [part for part in parts if part is not None]), metrics


def _of_task(metrics: Metrics, test: Predictions, names: Sequence[str], seed: int) -> Section:
    """What only the task's predictions have: confusions, rankings or residuals."""
    if test.task == "classification":
        return sections.confidence(test, names, seed)
    of_columns = columns.labels if test.task == "multilabel" else columns.numbers
    return of_columns(metrics, test, names, seed)


def _check_same(
    recorded: Mapping[str, Any], dataset: NodeDataset, path: Path, was_updated: bool
) -> None:
    counts = {
        "nodes": dataset.num_nodes,
        "edges": dataset.num_edges,
        "features": dataset.num_features,
        "classes": dataset.num_classes,
    }
    for key, count in counts.items():
        if recorded[key] != count and not (was_updated and key in ("nodes", "edges")):
            raise InputError(
                f"{path}: its dataset is another one by now: "
                f"expected {recorded[key]:,} {key}, found {count:,}"
            )
    if (task := recorded.get("task", "classification")) != dataset.task:
        raise InputError(
            f"{path}: its dataset is another one by now: "
            f"expected labels of {task}, found {dataset.task}"
        )


def comparison(runs: Mapping[str, Metrics]) -> Part:
    """The results of several runs beside each other."""
    rows = []
    for model in models():
        scores = {
            name: model_scores(m[model], recorded(m)) for name, m in runs.items() if model in m
        }
        # A part, or a metric, may be lacking elsewhere.
        for title in dict.fromkeys(title for row in scores.values() for title in row):
            cells = [scores.get(name, {}).get(title, "") for name in runs]
            rows.append([f"{look(model).label}, {title}", *cells])
    table = Table(rows, ["", *runs], "Mean ± standard deviation over the seeds of each run.")
    return Part("Runs", "Side by side", "", [Section("Results", tables=[table])])
