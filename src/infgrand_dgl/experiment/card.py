"""The model card of a run and of its exports: README.md, whose front matter model hubs read.

https://huggingface.co/docs/hub/model-cards (after Mitchell et al., FAT* 2019)
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ..config.schema import Config
from ..registry import methods
from ..serving.formats.safetensors_format import in_python
from ..serving.specification import Specification
from ..training.evaluation import PARTS
from ..training.metrics import METRICS, of_task
from .directory import RunDirectory


class Kind(NamedTuple):
    """Of a task: what hubs call it, and what outputs are."""

    pipeline: str
    outputs: str


KINDS = {
    "classification": Kind("tabular-classification", "classes"),
    "multilabel": Kind("tabular-classification", "labels"),
    "regression": Kind("tabular-regression", "numbers"),
}
SHOWN = 20  # names of classes
TAGS = ("graph-neural-networks", "knowledge-distillation", "mlp")
HIDDEN = (
    " Some test nodes were hidden in training: *test* is theirs, *observed* of the others, *cold* "
    "theirs without their edges."
)
UNCALIBRATED = "Its probabilities are not calibrated"
CALIBRATED = "Its probabilities are calibrated on the validation nodes, by one temperature"
PATHS = {"data": {"root", "prepared"}, "teacher": {"logits"}}


def card(
    config: Config,
    metrics: Mapping[str, Any],
    loading: str,
    seed: int | None = None,
    specification: Specification | None = None,
) -> str:
    """
    Args:
        metrics: as in metrics.json.
        loading: Markdown: how the student is loaded.
        seed: of the one student that it is about; None: all of the run.
        specification: of its export; None: it is none.
    """
    dataset, method, scores = metrics["dataset"], methods[config.method], _scores(metrics, seed)
    outputs, inductive = KINDS[dataset["task"]].outputs, config.data.setting == "inductive"
    title = f"{method.label} student of" if method.needs_teacher else f"{method.label} on"
    taught = f", distilled from a {config.teacher.model} teacher" * method.needs_teacher
    seeds = metrics["seeds"]
    of = f"Seed {seed}" if seed is not None else f"Mean ± deviation over {len(seeds)} seeds"
    hidden = HIDDEN * inductive
    classes = None if specification is None else specification.classes
    calibrated = specification is not None and specification.temperature != 1
    sure = CALIBRATED if calibrated else UNCALIBRATED
    sure = "It does not say how sure it is" if dataset["task"] == "regression" else sure
    return f"""---
{yaml.safe_dump(_front(dataset, scores), sort_keys=False).strip()}
---

# {title} {dataset["name"]}

A multi-layer perceptron that predicts {outputs} of a graph's nodes{taught}, by
`method: {config.method}` of infgrand-dgl. It reads a row of numbers for each node, and no graph.

## Data

{dataset["name"]}: {dataset["nodes"]:,} nodes, {dataset["edges"]:,} edges,
{dataset["features"]:,} features, {dataset["classes"]:,} {outputs}{_named(classes)}.
Setting: {config.data.setting}.{hidden}

## What it reads

{_reads(config)}

## Metrics

{_table(scores)}

{of}.

## Intended use

{outputs.capitalize()} of nodes of this graph, and of nodes that join it, where neighbours cannot
be fetched at the time of the request. Rows are made before, of features and graph, as above.

## Limits

- It knows the {outputs} of its training nodes alone, and features in that order and scale.
- Rows that were made before an edge came know nothing of it.
- {sure}.
- Such students favour graphs whose edges join nodes that are alike.

## How to load

{loading.strip()}

## Settings

```yaml
{yaml.safe_dump(_settings(config), sort_keys=False).strip()}
```
"""


def card_of_run(run: RunDirectory, metrics: Mapping[str, Any]) -> str:
    """Of a run directory, all seeds; it loads the first one's student."""
    seed, task = metrics["seeds"][0], metrics["dataset"]["task"]
    student, rows = (
        path.relative_to(run.path)
        for path in (run.weights(seed, "student"), run.array("propagated.npy", seed))
    )
    return card(run.config, metrics, in_python(task, str(student), f'np.load("{rows}")'))


# Of each metric, by name, its values over the seeds, or of one, by part of the split.
Scores = dict[str, dict[str, Any]]


def _scores(metrics: Mapping[str, Any], seed: int | None) -> Scores:
    student = metrics["student"]
    found: Scores = {}
    for name in of_task(metrics["dataset"]["task"]):
        values = student if name == "accuracy" else student.get(name, {})
        parts = {part: values[part] for part in PARTS if part in values}
        if seed is not None:
            place = metrics["seeds"].index(seed)
            parts = {part: value["per_seed"][place] for part, value in parts.items()}
        if parts:
            found[name] = parts
    return found


def _mean(value: Any) -> float:
    return float(value["mean"] if isinstance(value, Mapping) else value)


def _shown(name: str, value: Any) -> str:
    """Of one seed, or mean ± deviation."""
    metric = METRICS[name]
    text = metric.over_seeds(value) if isinstance(value, Mapping) else metric.shown(value)
    return f"{text} %" if metric.percent else text


def _front(dataset: Mapping[str, Any], scores: Scores) -> dict[str, Any]:
    name, kind = dataset["name"], KINDS[dataset["task"]]
    found = [
        {"type": metric, "value": round(_mean(parts["test"]), 6), "name": f"Test {metric}"}
        for metric, parts in scores.items()
        if "test" in parts and math.isfinite(_mean(parts["test"]))
    ]
    result = {
        "task": {"type": kind.pipeline, "name": f"Node {dataset['task']}"},
        "dataset": {"name": name, "type": name},
        "metrics": found,
    }
    return {
        "library_name": "infgrand-dgl",
        "pipeline_tag": kind.pipeline,
        "tags": [*TAGS, f"node-{dataset['task']}"],
        "model-index": [{"name": f"infgrand-dgl-{name}", "results": [result]}],
    }


def _table(scores: Scores) -> str:
    parts = [part for part in PARTS if any(part in values for values in scores.values())]
    lines = [
        ["metric", *(PARTS[part] for part in parts)],
        ["---"] * (len(parts) + 1),
        *(
            [METRICS[name].label, *(_shown(name, v[p]) if p in v else "-" for p in parts)]
            for name, v in scores.items()
        ),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _reads(config: Config) -> str:
    p = config.propagation
    if not config.reads_propagated:
        made = "Features as they are"
    elif config.student.reads_hops:
        made = f"X^(0) to X^({p.hops}), features propagated over the graph, side by side"
    else:
        made = f"Features propagated over the graph, {p.pooling} of X^(0) to X^({p.hops})"
    weight = f", self-loops of weight {p.self_loop_weight:g}" * config.reads_propagated
    beside = ", with DeepWalk's positions beside them" * methods[config.method].positions
    return f"{made}{weight}{beside}.\n`propagated.npy` of its run has the rows of its own nodes."


def _named(classes: Sequence[Any] | None) -> str:
    if classes is None:
        return ""
    more = ", …" if len(classes) > SHOWN else ""
    names = (" ".join(str(name).split()) for name in classes[:SHOWN])
    return f" ({', '.join(names)}{more})"


def _settings(config: Config) -> dict[str, Any]:
    """Those that are not the defaults, without the folders of the machine of the training."""
    values = config.model_dump(by_alias=True, exclude_defaults=True)
    for section, keys in PATHS.items():
        for key in keys & values.get(section, {}).keys():
            values[section][key] = Path(values[section][key]).name
    return values
