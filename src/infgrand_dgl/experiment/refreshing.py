"""The students of an updated run, trained on from their weights with what the update has made."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..config.schema import Config
from ..data import NodeDataset, load_source, with_split
from ..data.dataset import UNLABELLED
from ..errors import InputError
from ..present.console import Reporter
from ..registry import methods
from ..serving import save_weights
from ..system.arrays import load_array, map_array
from ..system.redo import Changes
from ..system.runtime import Runtime, resolve_device
from ..training.evaluation import summary
from ..training.logits import load_logits
from ..training.student import train_student
from .artifacts import Stages
from .card import card_of_run
from .directory import CARD, UPDATES, RunDirectory, finish_update
from .fitting import Metrics, Outcome
from .graph_state import GraphState
from .judging import Judge
from .updating import changing


class Refreshed(NamedTuple):
    """Of a seed's student, on the graph as it is now.

    Args:
        before: validation metric of the student that was there.
        after: of the one trained on; the better one stays, of equals the one that was there.
        metrics: of what the run keeps.
        weights: of the one trained on, where it is kept.
    """

    before: float
    after: float
    metrics: Metrics
    weights: torch.nn.Module | None


def refresh(run: RunDirectory, epochs: int, report: Reporter) -> dict[int, Refreshed]:
    """Trains every seed's student on, by the run's settings but for the epochs, at most so many.

    The dataset is read for labels and splits; new nodes have no labels. Weights, metrics.json and
    the card are written together, or none.

    Raises:
        InputError: the run was not updated; as of `check`; its dataset is another by now; another
            process is changing the run.
    """
    start, config = time.perf_counter(), run.config
    check(config)
    if not run.graph.is_dir():
        raise InputError(f"--refresh: {run.path} was not updated; train --overwrite trains anew")
    with changing(run) as state:
        source = load_source(config.data)
        if source.fingerprint != state.made_of:
            raise InputError(
                f"--refresh: the dataset of {run.path} is another than that which was updated"
            )
        runtime = Runtime.on(resolve_device(config.train.device), config.resources)
        datasets = {
            seed: grown(with_split(source, config.data, seed), state) for seed in config.train.seeds
        }
        found = {}
        for seed, dataset in datasets.items():
            with report.bar(f"seed {seed}: student", epochs) as bar:
                found[seed] = _refreshed(run, dataset, seed, epochs, runtime, bar.update)
                bar.result = f"validation {found[seed].before:.4f}, then {found[seed].after:.4f}"
        _write(run, state, datasets, found, time.perf_counter() - start)
    return found


def check(config: Config) -> None:
    """
    Raises:
        InputError: labels are chosen by influence, which is another now; logits are of a file.
    """
    if config.data.label_choice != "random":
        raise InputError("--refresh: data.label_choice goes by influence; train --overwrite")
    if methods[config.method].needs_teacher and config.teacher.logits is not None:
        raise InputError(
            "--refresh: teacher.logits are of the graph as it was; make a file anew, and train"
        )


def grown(dataset: NodeDataset, state: GraphState) -> NodeDataset:
    """A dataset with its split, whose graph is by now another.

    Raises:
        InputError: it has more nodes.
    """
    now = state.dataset()
    more = now.num_nodes - dataset.num_nodes
    if more < 0 or now.num_features != dataset.num_features:
        raise InputError(f"{dataset.name}: the dataset is another than that which was updated")
    nothing = UNLABELLED if dataset.task == "classification" else torch.nan
    labels = dataset.labels
    labels = torch.cat([labels, labels.new_full((more, *labels.shape[1:]), nothing)])
    return replace(dataset, csr=now.csr, features=now.features, labels=labels, content=None)


def _refreshed(
    run: RunDirectory,
    dataset: NodeDataset,
    seed: int,
    epochs: int,
    runtime: Runtime,
    progress: Any,
) -> Refreshed:
    config, method = run.config, methods[run.config.method]
    x = map_array(run.array("propagated.npy", seed))
    scores = None
    if method.needs_influence:
        scores = torch.from_numpy(load_array(run.array("influence.npy", seed)))
    known, judge = run.student(seed).to(runtime.device), Judge(config, dataset, runtime)
    metric = run.metric.name
    seeds, retrained = run.metrics["seeds"], run.metrics.get("retrained")
    changes: dict[str, Any] = {"epochs": epochs}
    if retrained and "student" in retrained[seeds.index(seed)]:
        changes["weight_decay"] = 0.0  # with which it had collapsed
    student = train_student(
        config.replace("student", **changes),
        dataset,
        x,
        scores,
        _logits(run, dataset, seed) if method.needs_teacher else None,
        runtime,
        seed,
        lambda epoch, values: progress(epoch),
        start=known.state_dict(),
    )
    before, after = (
        Outcome(judge.student(each, x, config), 0.0, metric) for each in (known, student)
    )
    better = run.metric.sign * after.val > run.metric.sign * before.val
    kept = after if better else before
    return Refreshed(before.val, after.val, kept.metrics, student if better else None)


def _logits(run: RunDirectory, dataset: NodeDataset, seed: int) -> Tensor:
    return load_logits(run.teacher_logits(seed), dataset.num_nodes, dataset.num_classes)


def _write(
    run: RunDirectory,
    state: GraphState,
    datasets: dict[int, NodeDataset],
    found: dict[int, Refreshed],
    seconds: float,
) -> None:
    metrics = dict(run.metrics)
    graph = {"nodes": state.graph.num_nodes, "edges": state.graph.num_edges}
    metrics["dataset"] = metrics["dataset"] | graph
    metrics["student"] = summary([each.metrics for each in found.values()])
    changes, stages = Changes(run.path, run.graph), Stages(run.path).stages
    for seed, each in found.items():
        if each.weights is not None:
            file, data = run.key(seed, "student.safetensors"), datasets[seed]
            save_weights(changes.file(file), each.weights, data.classes, data.task)
            stages = {key: s for key, s in stages.items() if file not in s["files"]}
    changes.text("stages.json", json.dumps(stages, indent=1) + "\n")
    changes.text("metrics.json", json.dumps(metrics, indent=2) + "\n")
    changes.text(CARD, card_of_run(run, metrics))
    line = {"refresh": state.updates, "time": datetime.now(UTC).isoformat(timespec="seconds")}
    line["validation"] = {seed: [each.before, each.after] for seed, each in found.items()}
    changes.line(UPDATES, json.dumps(line | {"seconds": round(seconds, 4)}))
    changes.commit()
    finish_update(run)
