"""metrics.json: what a run says of its models, over all seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..config import Config
from ..data import NodeDataset
from ..training.evaluation import summary
from .environment import environment
from .fitting import Metrics, Outcome


def metrics_of(
    config: Config,
    source: NodeDataset,
    outcomes: Sequence[Mapping[str, Outcome]],
    models: Sequence[str],
    seconds: Mapping[str, float],
    processes: int,
) -> Metrics:
    """
    Args:
        outcomes: of each seed, by model.
        models: in their order; those of them that were trained are told.
        seconds: of what was done once, by stage.
    """
    names = [model for model in models if model in outcomes[0]]
    return {
        "dataset": {
            "name": source.name,
            "nodes": source.num_nodes,
            "edges": source.num_edges,
            "features": source.num_features,
            "classes": source.num_classes,
            "task": source.task,
            "provenance": source.provenance,
        },
        "setting": config.data.setting,
        "method": config.method,
        "precision": config.train.precision,
        "metric": config.train.metric,
        "seeds": config.train.seeds,
        **{model: summary([seed[model].metrics for seed in outcomes]) for model in names},
        "retrained": [[model for model in seed if seed[model].retrained] for seed in outcomes],
        "seconds": {**seconds, **_per_seed(outcomes, names)},
        "processes": processes,
        "environment": environment(),
    }


def _per_seed(outcomes: Sequence[Mapping[str, Outcome]], names: Sequence[str]) -> dict[str, Any]:
    seconds = {model: [seed[model].seconds for seed in outcomes] for model in names}
    return {**seconds, "total": [sum(o.seconds for o in seed.values()) for seed in outcomes]}
