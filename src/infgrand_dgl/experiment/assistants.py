"""Assistants: students that another one learns from instead of the teacher
(`distillation.assistants`).

Their mean prediction varies less than any of theirs (bagging), and one student learns it: Hinton et
al. (2015, section 5) of ensembles, Furlanello et al. (ICML 2018: "Born-again neural networks") of
students that teach, Mirzadeh et al. (AAAI 2020) of assistants between teacher and student.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..config.fields import Task
from ..distillation.tasks import DIVERGENCES
from ..features.matrix import FeatureMatrix
from ..serving import load_student
from ..system.arrays import new_array, slices
from ..system.writing import writing
from ..training.student import EVALUATED_ROWS


@torch.no_grad()
def write_mean(
    path: Path, files: Sequence[Path], inputs: Tensor, task: Task, device: torch.device
) -> None:
    r"""Writes the outputs that say the mean prediction of K students, float32 `[N, C]`: of classes
    $\log \frac{1}{K} \sum_k \sigma(z_k)$.

    Args:
        files: of the students.
        inputs: what they read of all nodes, `[N, D]`, dense or sparse, possibly memory-mapped.
        device: where they are asked.
    """
    students = [load_student(file).to(device) for file in files]
    x, N = FeatureMatrix(inputs), inputs.shape[0]
    with writing(path) as partial:
        out = new_array(partial, (N, students[0].shape["classes"]))
        for rows in slices(range(N), EVALUATED_ROWS):
            part = x.rows(rows).to(device).float()
            said = torch.stack([student(part) for student in students])
            out[rows] = DIVERGENCES[task].mean_of(said).cpu()
