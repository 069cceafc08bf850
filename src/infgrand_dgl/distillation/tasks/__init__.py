"""What labels can be, and what it is to learn them: one task a file."""

from ...config.fields import Task
from .classification import Categorical, Classification
from .multilabel import Bernoulli, Multilabel
from .regression import Regression, SquaredError
from .task import Divergence, LearningTask

TASKS: dict[Task, type[LearningTask]] = {
    "classification": Classification,
    "multilabel": Multilabel,
    "regression": Regression,
}
DIVERGENCES: dict[Task, type[Divergence]] = {
    "classification": Categorical,
    "multilabel": Bernoulli,
    "regression": SquaredError,
}
