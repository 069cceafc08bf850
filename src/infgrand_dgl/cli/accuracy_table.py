"""What `train` prints in the end: a row for each model, a column for each part of the split."""

from collections.abc import Mapping
from typing import Any

from ..config.schema import Config
from ..registry import methods
from ..training.evaluation import PARTS, TIMES
from ..training.metrics import recorded


def accuracy_table(config: Config, metrics: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows.

    Args:
        metrics: as in metrics.json; a model that is not in it has no row.
    """
    names: dict[str, str] = {name: student_name(name) for name in config.train.baselines}
    names["teacher"] = f"teacher ({config.teacher.model})"
    names["student"] = student_name(config.method, config.student.model)
    metric = recorded(metrics)
    scores = {model: metric.of_model(metrics[model]) for model in names if model in metrics}
    parts = [part for part in PARTS if part in scores["student"]]
    header = ["model", *(metric.title(PARTS[part]) for part in parts), *TIMES.values()]
    return header, [
        [
            names[model],
            *(metric.over_seeds(score[part]) if part in score else "-" for part in parts),
            *(_time(metrics[model], key) for key in TIMES),
        ]
        for model, score in scores.items()
    ]


def student_name(method: str, model: str = "mlp") -> str:
    """ "InfGraND student"; without a teacher "plain MLP" where no graph has a part in it, "GRAND",
    "SIGN"."""
    chosen = methods[method]
    if chosen.needs_teacher:
        return f"{chosen.label} student"
    if model != "mlp":
        return model.upper()
    return chosen.label if chosen.propagated else f"plain {chosen.label}"


def _time(model: Mapping[str, Any], key: str) -> str:
    """A model that was not timed has none."""
    time = model.get(key)
    return f"{time['mean']:.2f}" if time else "-"
