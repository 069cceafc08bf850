"""What an experiment's settings mean for the task of its dataset."""

from ..config.fields import Task
from ..config.schema import Config
from ..distillation.tasks import DIVERGENCES
from ..errors import InputError
from ..influence.measure import check_task
from ..registry import measures, methods
from .metrics import chosen


def for_task(config: Config, task: Task) -> Config:
    """The experiment with its metric named.

    Raises:
        InputError: it asks for what the task does not have.
    """
    method, measure = methods[config.method], measures[config.influence.measure]
    if task not in method.tasks:
        raise InputError(f"method: {method.name} is for {' and '.join(method.tasks)}, not {task}")
    if method.needs_influence or config.data.label_choice != "random":
        check_task(measure, task)
    if method.teacher and config.teacher.logits is not None:
        raise InputError(
            f"method: {method.name} needs more of the teacher than its logits, and "
            f"teacher.logits: {config.teacher.logits} has no others"
        )
    t = config.teacher
    if "hidden" in method.teacher and t.layers == 1 and t.jumping_knowledge == "none":
        raise InputError(f"teacher.layers: 1: there is no hidden layer, which {method.name} needs")
    if "random_propagation" in method.sections:
        _check_views(config, task)
    d = config.distillation
    if method.needs_teacher:
        read = {key: getattr(d, key) for key in ("kl", "tau", "loss") if method.reads(key)}
        DIVERGENCES[task].check(**read, where="distillation.")
    if task == "regression":
        if config.train.class_weights != "none":
            raise InputError(
                f"train.class_weights: {config.train.class_weights}: regression has no classes"
            )
        if config.teacher.logits_dtype != "float32":
            raise InputError("teacher.logits_dtype: float16: regression keeps numbers in float32")
    metric = chosen(config.train.metric, task).name
    return config if metric == config.train.metric else config.replace("train", metric=metric)


def _check_views(config: Config, task: Task) -> None:
    """
    Raises:
        InputError: views or consistency are asked for, and cannot be had.
    """
    mask = config.random_propagation.mask
    if mask and not config.reads_propagated:
        raise InputError(
            f"random_propagation.mask: {mask}: needs propagated inputs, found student.features: raw"
        )
    if config.consistency.weight and task == "regression":
        raise InputError(
            f"consistency.weight: {config.consistency.weight}: sharpens probabilities, which "
            "regression has none of; expected 0"
        )
