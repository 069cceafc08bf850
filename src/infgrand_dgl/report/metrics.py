"""What metrics.json says of a run: its results, its seconds, where it comes from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..config.schema import Config
from ..present.style import look, models
from ..training.evaluation import PARTS, REQUEST, TIMES
from ..training.metrics import METRICS, Metric, recorded
from .content import Section, Table, facts

Metrics = dict[str, Any]

CLASSES_SHOWN = 50

COLUMNS = {  # what models have an output for, and what these are called
    "classification": ("classes", "class names"),
    "multilabel": ("labels", "label names"),
    "regression": ("target columns", "column names"),
}


def lead(metrics: Metrics) -> str:
    """Dataset, setting and seeds in a line."""
    d = metrics["dataset"]
    seeds = ", ".join(map(str, metrics["seeds"]))
    return (
        f"{d['name']}: {d['nodes']:,} nodes, {d['edges']:,} edges, {d['features']:,} features, "
        f"{d['classes']} {columns_of(metrics)[0]}; {metrics['setting']}; seeds {seeds}"
    )


def columns_of(metrics: Metrics) -> tuple[str, str]:
    """Of the task of a run, from `COLUMNS`."""
    return COLUMNS[metrics["dataset"].get("task", "classification")]


def results(metrics: Metrics, config: Config) -> Section:
    """The metrics and pace of each model, and of predicting the largest class; and whose weight
    decay was left out."""
    chosen = recorded(metrics)
    scores = {model: model_scores(metrics[model], chosen) for model in models() if model in metrics}
    titles = list(dict.fromkeys(title for row in scores.values() for title in row))
    rows = [
        [_name(model, config), *(row.get(title, "–") for title in titles)]
        for model, row in scores.items()
    ]
    judged = [metrics[m]["largest_class"] for m in scores if "largest_class" in metrics[m]]
    largest: Mapping[str, Any] = judged[0] if judged else {}
    cells = {chosen.title(PARTS[part]): chosen.over_seeds(v) for part, v in largest.items()}
    if cells:
        rows.append(["Largest class", *(cells.get(title, "–") for title in titles)])
    seeds = metrics["seeds"]
    over = f"{len(seeds)} seeds" if len(seeds) > 1 else "one seed"
    caption = f"{_named(scores, chosen)} and time; mean ± standard deviation over {over}."
    if (columns := columns_of(metrics)[0]) != "classes":
        caption += f" Each metric: its mean over the {columns} of which it is defined."
    caption += (
        " Per 1000 nodes: of all, the graph and its features at hand; per request: of "
        f"{REQUEST} nodes, a teacher's from their neighbourhood where that is faster."
    )
    if chosen.name != "accuracy" and METRICS["accuracy"].title("test") in titles:
        caption += " Columns without a name: accuracy."
    if cells:
        caption += " Largest class: what predicting it everywhere gives."
    if metrics["setting"] == "inductive":
        caption += (
            " Test: nodes that training did not see; test, observed: "
            "those whose features and edges it saw; test, cold: those of test by their own "
            "features, without their edges."
        )
        if any(PARTS["production"] in title for title in titles):
            share = config.data.split_rate
            caption += f" Production: {1 - share:g} of test, observed, and {share:g} of test."
    note = _collapsed(seeds, metrics["retrained"])
    return Section("Results", note, tables=[Table(rows, ["model", *titles], caption)])


def model_scores(model: Mapping[str, Any], chosen: Metric) -> dict[str, str]:
    """The cells of a model, by title: the chosen metric first.

    Of classes it and accuracy are told of every part of the split, and so is of several labels, or
    of numbers, the chosen metric alone; the others on the test nodes.
    """
    parts = [part for part in PARTS if part in chosen.of_model(model)]
    whole, others = [chosen, METRICS["accuracy"]], [METRICS["macro_f1"]]
    if "per_class" in model:
        whole, others = [chosen], [metric for name, metric in METRICS.items() if name in model]
    row: dict[str, str] = {}
    for metric in dict.fromkeys(whole):
        values = metric.of_model(model)
        row |= {metric.title(PARTS[part]): metric.over_seeds(values[part]) for part in parts}
    row |= {m.title("test"): m.over_seeds(m.of_model(model)["test"]) for m in others}
    for key, title in TIMES.items():
        time = model.get(key)
        row[title] = f"{time['mean']:.2f} ± {time['std']:.2f}" if time else "–"
    return row


def _named(scores: Mapping[str, Mapping[str, str]], chosen: Metric) -> str:
    """The metrics of a table, the chosen one last unless it is usual."""
    titles = {title for row in scores.values() for title in row}
    shown = [metric for metric in METRICS.values() if metric.title("test") in titles]
    shown.sort(key=lambda metric: metric is chosen and metric.name != "accuracy")
    text = ", ".join(metric.label for metric in shown)
    return text[0].upper() + text[1:]


def _name(model: str, config: Config) -> str:
    if model == "teacher":
        return f"Teacher ({'saved logits' if config.teacher.logits else config.teacher.model})"
    if model == "student":
        return f"Student ({look(config.method).label})"
    return look(model).label


def _collapsed(seeds: Sequence[int], retrained: Sequence[Sequence[str]]) -> str:
    again = [
        f"seed {seed}: {', '.join(names)}"
        for seed, names in zip(seeds, retrained, strict=True)
        if names
    ]
    text = f"Collapsed, and trained once more without weight decay: {'; '.join(again)}."
    return text if again else ""


def times(metrics: Metrics) -> Section:
    """Wall seconds: stages that ran once, models that were trained per seed, all together."""
    rows, seconds = [], metrics["seconds"]
    once = [stage for stage, spent in seconds.items() if not isinstance(spent, list)]
    for stage in (*once, *(model for model in models() if model in seconds), "total"):
        name, spent = look(stage).label, seconds[stage]
        if isinstance(spent, list):
            mean = f"{np.mean(spent):.2f} ± {np.std(spent):.2f}"
            rows.append([f"{name}, per seed", mean, f"{sum(spent):.2f}"])
        else:
            rows.append([name, "", f"{spent:.2f}"])
    caption = "Wall seconds of each stage; per seed: mean ± standard deviation."
    if metrics.get("processes", 1) > 1:
        caption += f" {metrics['processes']} processes shared the work."
    return Section("Time", tables=[Table(rows, ["stage", "s per seed", "s in all"], caption)])


def origin(metrics: Metrics, classes: np.ndarray | None = None) -> Section:
    """Dataset and machine.

    Args:
        classes: codes or names of the classes, where they are not their numbers.
    """
    d = metrics["dataset"]
    counts = {key: f"{d[key]:,}" for key in ("nodes", "edges", "features")}
    columns, names = columns_of(metrics)
    counts[columns] = f"{d['classes']:,}"
    counts["edges"] += ", both directions and self-loops"
    if classes is not None:
        more = ", ..." if len(classes) > CLASSES_SHOWN else ""
        counts[names] = ", ".join(map(str, classes[:CLASSES_SHOWN])) + more
    source = {
        key: value for key, value in d["provenance"].items() if key not in (*counts, "classes")
    }
    data = facts({"name": d["name"], **counts, **source}, "Dataset")
    machine = facts(metrics["environment"], "Environment")
    return Section("Dataset and environment", tables=[data, machine])
