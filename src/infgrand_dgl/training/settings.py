"""What an experiment's settings mean for the task of its dataset."""

from ..config.fields import Task
from ..config.schema import Config
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
    d = config.distillation
    edgewise = method.needs_teacher and method.reads("loss")
    if edgewise and d.loss == "edge_kl" and task != "classification":
        raise InputError(
            f"distillation.loss: edge_kl is for classification; {task} has collapsed and "
            "apply_edges"
        )
    if task == "regression":
        if config.train.class_weights != "none":
            raise InputError(
                f"train.class_weights: {config.train.class_weights}: regression has no classes"
            )
        if config.teacher.logits_dtype != "float32":
            raise InputError("teacher.logits_dtype: float16: regression keeps numbers in float32")
        if method.needs_teacher and method.reads("tau") and d.tau != 1:
            raise InputError(f"distillation.tau: regression has no temperature, found {d.tau}")
        if method.needs_teacher and method.reads("kl") and d.kl != "forward":
            raise InputError(f"distillation.kl: regression has no directions, found {d.kl}")
    metric = chosen(config.train.metric, task).name
    return config if metric == config.train.metric else config.replace("train", metric=metric)
