"""A run: its tables from metrics.json, its pictures from what the run holds of every node."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config.schema import Config
from ..data import NodeDataset, load_source, with_split
from ..errors import InputError
from ..experiment.directory import RunDirectory
from ..experiment.history import read_history
from ..influence.scores import spread
from ..present.curves import MODELS, draw_curves, draw_histogram
from ..present.style import NAMES
from ..propagation.inputs import student_inputs
from ..registry import methods
from ..serving import load_student, predict
from ..system.arrays import load_array
from ..system.reading import reading
from . import figures
from .content import Part, Picture, Section, Table, facts
from .measures import calibration, confusion, most_confused, quantile_bins, spearman

PARTS = {"val": "validation", "test": "test", "test_observed": "test, observed"}

LARGEST_MATRIX = 20  # classes of a confusion matrix that is drawn
MOST_CONFUSED = 15
DOTS = 20_000  # of a scatter plot

Metrics = dict[str, Any]


@dataclass(frozen=True)
class Judged:
    """What the models say of some labelled nodes, int64 `[n]`."""

    nodes: np.ndarray
    labels: np.ndarray
    probabilities: dict[str, np.ndarray]  # by model, [n, C]

    def right(self, model: str) -> np.ndarray:
        return self.probabilities[model].argmax(axis=1) == self.labels


def run_part(path: Path, title: str) -> tuple[Part, Metrics]:
    """The report of a run directory, and its metrics for `comparison`.

    Raises:
        InputError: a file of the run is missing or damaged, or its dataset cannot be loaded or is
            another one by now.
    """
    run = RunDirectory.open(path)
    config, seed = run.config, run.best_seed()
    with reading(path / "metrics.json", "written by train"):
        metrics = json.loads((path / "metrics.json").read_text())
        results, times = _results(metrics, config), _times(metrics)
        origin, lead = _origin(metrics), _lead(metrics)
    dataset = with_split(load_source(config.data), config.data, seed)
    _check_same(metrics["dataset"], dataset, path)
    models = [model for model in MODELS if model in metrics]
    test = _judged(run, dataset, seed, dataset.test, models)
    scores = _influence(run, seed, dataset.num_nodes)
    degrees = (dataset.csr.row_lengths - 1).numpy()  # the self-loop is no neighbour
    sections = [
        results,
        _training(path),
        _influence_section(scores, degrees, config) if scores is not None else None,
        _accuracy(run, dataset, seed, test, scores, degrees),
        _trust(test, dataset.num_classes, seed),
        times,
        origin,
        Section("Configuration", listing=(path / "config.yaml").read_text()),
    ]
    return Part("Run", title, lead, [s for s in sections if s is not None]), metrics


def comparison(runs: Mapping[str, Metrics]) -> Part:
    """The results of several runs beside each other."""
    rows = []
    for model in MODELS:
        found = {name: _scores(m[model]) for name, m in runs.items() if model in m}
        for key in max(found.values(), key=len, default={}):  # a part may be lacking elsewhere
            cells = [found.get(name, {}).get(key, "") for name in runs]
            rows.append([f"{NAMES[model]}, {key}", *cells])
    table = Table(rows, ["", *runs], "Mean ± standard deviation over the seeds of each run.")
    return Part("Runs", "Side by side", "", [Section("Results", tables=[table])])


# From metrics.json


def _results(metrics: Metrics, config: Config) -> Section:
    scores = {model: _scores(metrics[model]) for model in MODELS if model in metrics}
    titles = list(dict.fromkeys(key for found in scores.values() for key in found))
    rows = [
        [_name(model, config), *(found.get(key, "–") for key in titles)]
        for model, found in scores.items()
    ]
    seeds = metrics["seeds"]
    caption = f"Accuracy, macro-F1 and time; mean ± standard deviation over {_seeds(seeds)}."
    if metrics["setting"] == "inductive":
        caption += (
            " Test: nodes that training did not see; test, observed: "
            "those whose features and edges it saw."
        )
    again = {str(s): ", ".join(r) for s, r in zip(seeds, metrics["retrained"], strict=True) if r}
    note = ""
    if again:
        told = "; ".join(f"seed {seed}: {names}" for seed, names in again.items())
        note = f"Collapsed, and trained once more without weight decay: {told}."
    return Section("Results", note, tables=[Table(rows, ["model", *titles], caption)])


def _scores(model: Mapping[str, Any]) -> dict[str, str]:
    """A model's row, by title."""
    parts = [part for part in PARTS if part in model]
    row = {f"{PARTS[p]} (%)": _percent(model[p]) for p in parts}
    row["test macro-F1 (%)"] = _percent(model["macro_f1"]["test"])
    pace = model.get("milliseconds_per_1000_nodes")
    row["ms per 1000 nodes"] = f"{pace['mean']:.2f} ± {pace['std']:.2f}" if pace else "–"
    return row


def _percent(value: Mapping[str, float]) -> str:
    return f"{100 * value['mean']:.1f} ± {100 * value['std']:.1f}"


def _name(model: str, config: Config) -> str:
    if model == "teacher":
        return f"Teacher ({'saved logits' if config.teacher.logits else config.teacher.model})"
    if model == "student":
        return f"Student ({NAMES[config.method]})"
    return NAMES[model]


def _seeds(seeds: Sequence[int]) -> str:
    return f"{len(seeds)} seeds" if len(seeds) > 1 else "one seed"


def _times(metrics: Metrics) -> Section:
    rows, found = [], metrics["seconds"]
    once = [stage for stage, seconds in found.items() if not isinstance(seconds, list)]
    for stage in (*once, *(m for m in MODELS if m in found), "total"):
        name, seconds = NAMES.get(stage, stage), found[stage]
        if isinstance(seconds, list):
            told = f"{np.mean(seconds):.2f} ± {np.std(seconds):.2f}"
            rows.append([f"{name}, per seed", told, f"{sum(seconds):.2f}"])
        else:
            rows.append([name, "", f"{seconds:.2f}"])
    caption = "Wall seconds of each stage; per seed: mean ± standard deviation."
    if metrics.get("processes", 1) > 1:
        caption += f" {metrics['processes']} processes shared the work."
    return Section("Time", tables=[Table(rows, ["stage", "s per seed", "s in all"], caption)])


def _lead(metrics: Metrics) -> str:
    d = metrics["dataset"]
    seeds = ", ".join(map(str, metrics["seeds"]))
    return (
        f"{d['name']}: {d['nodes']:,} nodes, {d['edges']:,} edges, {d['features']:,} features, "
        f"{d['classes']} classes; {metrics['setting']}; seeds {seeds}"
    )


def _origin(metrics: Metrics) -> Section:
    d = metrics["dataset"]
    counts = {k: f"{d[k]:,}" for k in ("nodes", "edges", "features", "classes")}
    counts["edges"] += ", both directions and self-loops"
    source = {k: v for k, v in d["provenance"].items() if k not in counts}
    data = facts({"name": d["name"], **counts, **source}, "Dataset")
    machine = facts(metrics["environment"], "Environment")
    return Section("Dataset and environment", tables=[data, machine])


# From what the run holds of every node


def _check_same(told: Mapping[str, Any], dataset: NodeDataset, path: Path) -> None:
    found = {
        "nodes": dataset.num_nodes,
        "edges": dataset.num_edges,
        "features": dataset.num_features,
        "classes": dataset.num_classes,
    }
    for key, count in found.items():
        if told[key] != count:
            raise InputError(
                f"{path}: its dataset is another one by now: "
                f"expected {told[key]:,} {key}, found {count:,}"
            )


def _judged(
    run: RunDirectory, dataset: NodeDataset, seed: int, nodes: Tensor, models: Sequence[str]
) -> Judged:
    ids, folder = nodes.numpy(), run.path / f"seed-{seed}"
    found = {}
    for model in models:
        if model == "teacher":
            given = run.config.teacher.logits
            path = Path(given) if given else folder / "teacher_logits.npy"
            logits = torch.from_numpy(_rows(load_array(path, mmap=True), ids, dataset, path))
            found[model] = logits.float().softmax(dim=1).numpy()
            continue
        if model == "student":
            inputs = _rows(run.propagated(seed), ids, dataset, run.path / "propagated.npy")
        elif methods[model].propagated:  # the run does not hold them
            x = student_inputs(run.config, dataset, torch.device("cpu"))
            inputs = x[nodes].float().numpy()
        else:
            x = dataset.features
            inputs = (x if x.layout == torch.strided else x.to_dense())[nodes].float().numpy()
        found[model] = predict(load_student(folder / f"{model}.safetensors"), inputs).numpy()
    return Judged(ids, dataset.labels[nodes].numpy(), found)


def _rows(array: np.ndarray, ids: np.ndarray, dataset: NodeDataset, path: Path) -> np.ndarray:
    if array.ndim != 2 or len(array) != dataset.num_nodes:
        found = f"{array.dtype} {list(array.shape)}"
        raise InputError(f"{path}: expected [{dataset.num_nodes}, n], found {found}")
    return array[ids]


def _influence(run: RunDirectory, seed: int, num_nodes: int) -> np.ndarray | None:
    """`[N]`, NaN for nodes without a score; None where the run needed none."""
    path = run.array("influence.npy", seed)
    if not path.exists() and not methods[run.config.method].needs_influence:
        return None
    scores = load_array(path)
    if scores.shape != (num_nodes,) or scores.dtype.kind != "f":
        found = f"{scores.dtype} {list(scores.shape)}"
        raise InputError(f"{path}: expected floating point [{num_nodes}], found {found}")
    return scores


# Sections with pictures


def _training(path: Path) -> Section:
    with reading(path / "history.csv", "a history written by train"):
        history = read_history(path / "history.csv")
    loss, axes = figures.axes_of("Epoch", "Training loss")
    draw_curves(axes, history, "loss")
    if all(row["loss"] > 0 for row in history):
        axes.set_yscale("log")
        axes.set_ylabel("Training loss (log scale)")
    figures.legend(loss)
    accuracy, axes = figures.axes_of("Epoch", "Validation accuracy (%)")
    draw_curves(axes, history, "val_accuracy", 100)
    figures.legend(accuracy)
    how = "thin: each seed, thick: their mean."
    return Section(
        "Training",
        pictures=[
            Picture.of(
                accuracy,
                "Validation accuracy of each model by epoch",
                f"Accuracy on the validation nodes by epoch; {how}",
            ),
            Picture.of(
                loss,
                "Training loss of each model by epoch",
                f"Each model's own loss by epoch; {how}",
            ),
        ],
    )


def _influence_section(scores: np.ndarray, degrees: np.ndarray, config: Config) -> Section:
    s = spread(torch.from_numpy(scores))
    known = np.flatnonzero(~np.isnan(scores))
    histogram, axes = figures.axes_of("Global influence score", "Nodes")
    draw_histogram(axes, torch.from_numpy(scores))
    dots = known
    if len(known) > DOTS:
        dots = np.sort(np.random.default_rng(0).choice(known, DOTS, replace=False))
    rank = spearman(scores[dots], degrees[dots])
    told = "not defined" if rank is None else f"{rank:.2f}"
    shown = "each node" if len(dots) == len(known) else f"{len(dots):,} nodes drawn at random"
    hidden = len(scores) - len(known)
    i = config.influence
    note = f"Measure: {i.measure}; normalization: {i.normalization}; hops: {i.hops}."
    if hidden:
        note += f" The {hidden:,} nodes that training did not see have no score."
    q1, q2, q3 = s.quartiles
    return Section(
        "Influence",
        note,
        pictures=[
            Picture.of(
                histogram,
                "Histogram of the global influence scores",
                f"Scores of {len(known):,} nodes: mean {s.mean:.3g}, quartiles {q1:.3g}, "
                f"{q2:.3g}, {q3:.3g}, coefficient of variation {s.coefficient_of_variation:.3g}.",
            ),
            Picture.of(
                figures.influence_by_degree(scores[dots], degrees[dots]),
                "Influence score against number of neighbours",
                f"Score of {shown} against its number of neighbours; Spearman's rank correlation "
                f"{told}.",
            ),
        ],
    )


def _accuracy(
    run: RunDirectory,
    dataset: NodeDataset,
    seed: int,
    test: Judged,
    scores: np.ndarray | None,
    degrees: np.ndarray,
) -> Section:
    """Accuracy by influence and by degree."""
    pictures = []
    if scores is not None:
        judged, which = test, "test nodes"
        if np.isnan(scores[test.nodes]).any():  # hidden from training, and so from the scores
            nodes, models = dataset.parts.test_observed, list(test.probabilities)
            judged, which = _judged(run, dataset, seed, nodes, models), "observed test nodes"
        values = scores[judged.nodes]
        if len(values):
            bins = quantile_bins(values, 5)
            names = [_range(_score(values[b].min()), _score(values[b].max())) for b in bins]
            pictures.append(
                Picture.of(
                    _by(judged, bins, names, "Global influence score"),
                    "Accuracy of each model by influence score",
                    f"Accuracy on the {which} by influence score, in five groups of about as many "
                    "nodes.",
                )
            )
    values = degrees[test.nodes]
    bins = quantile_bins(values, 6)
    names = [_range(f"{values[b].min()}", f"{values[b].max()}") for b in bins]
    pictures.append(
        Picture.of(
            _by(test, bins, names, "Neighbours"),
            "Accuracy of each model by number of neighbours",
            "Accuracy on the test nodes by number of neighbours in the whole graph.",
        )
    )
    note = (
        f"Models of seed {seed}, the best student on validation; bars: 95% Wilson intervals; "
        "n: nodes."
    )
    return Section("Where the models are right", note, pictures=pictures)


def _by(judged: Judged, bins: Sequence[np.ndarray], names: Sequence[str], xlabel: str) -> Any:
    right = {
        model: [(int(judged.right(model)[b].sum()), len(b)) for b in bins]
        for model in judged.probabilities
    }
    groups = [f"{name}\nn = {len(b):,}" for name, b in zip(names, bins, strict=True)]
    return figures.accuracy_by(groups, right, xlabel)


def _score(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:,.0f}"


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low}–{high}"


def _trust(test: Judged, classes: int, seed: int) -> Section:
    """Confusions of the student, or of the model that stands for it, and calibration."""
    shown = next(m for m in ("student", "glnn", "mlp", "teacher") if m in test.probabilities)
    matrix = confusion(test.labels, test.probabilities[shown].argmax(axis=1), classes)
    found = {m: calibration(p, test.labels) for m, p in test.probabilities.items()}
    who = NAMES[shown].lower() if shown in ("teacher", "student") else NAMES[shown]
    tables, pictures = [], []
    if classes > LARGEST_MATRIX:
        sizes = matrix.sum(axis=1)
        rows = [
            [str(i), str(j), f"{n:,}", f"{100 * n / sizes[i]:.1f}"]
            for i, j, n in most_confused(matrix, MOST_CONFUSED)
        ]
        header = ["true class", "predicted", "nodes", "of the class (%)"]
        tables = [Table(rows, header, f"The {who}'s most frequent confusions on the test nodes.")]
    else:
        pictures = [
            Picture.of(
                figures.confusion_matrix(matrix),
                f"Confusion matrix of the {who} on the test nodes",
                f"Test nodes by true class and the {who}'s; the darker, the larger the share "
                "of the true class.",
            )
        ]
    pictures.append(
        Picture.of(
            figures.reliability(found),
            "Reliability diagram of each model",
            "Accuracy against confidence on the test nodes in 15 bins, the larger the more nodes; "
            "on the dashed line a model is as often right as it says. ECE: expected calibration "
            "error.",
        )
    )
    note = f"Models of seed {seed}, the best student on validation."
    return Section("Confusions and calibration", note, tables=tables, pictures=pictures)
