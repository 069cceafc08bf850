"""What an experiment's settings mean for the task of its dataset."""

from ..config.fields import Task
from ..config.schema import Config
from .metrics import chosen


def for_task(config: Config, task: Task) -> Config:
    """The experiment with its metric named.

    Raises:
        InputError: a setting that the task does not have.
    """
    metric = chosen(config.train.metric, task).name
    return config if metric == config.train.metric else config.replace("train", metric=metric)
