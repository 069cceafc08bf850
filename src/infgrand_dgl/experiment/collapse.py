"""Students that have not learnt from their teacher.

A teacher whose best epoch came early has almost uniform soft labels; the gradient of the
distillation loss is then smaller than that of the L2 penalty. The authors' code is subject to it
too (docs/reproduction.md). Such a student is trained once more without weight decay.
"""

from ..config import Config
from ..training.metrics import METRICS
from .fitting import Outcome

GAP = 0.05  # in the validation metric, below the teacher


def has_collapsed(config: Config, student: Outcome, teacher: Outcome) -> bool:
    """Far below its teacher on the validation nodes, and a weight decay to blame.

    Numbers are no soft labels: the error of a student grows with its distance.
    """
    if METRICS[student.metric].tasks == ("regression",):
        return False
    return teacher.val - student.val > GAP and config.student.weight_decay > 0


def told(student: Outcome, teacher: Outcome) -> str:
    metric = METRICS[student.metric]
    points = metric.scale * (teacher.val - student.val)
    return (
        f"validation {metric.label} is {points:.1f} below the teacher's; "
        "trained once more without weight decay"
    )
