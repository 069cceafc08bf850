"""Where a student's inputs lie in training, and how many nodes a step takes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config.fields import Task
from ..config.schema import Config
from ..distillation.views import views_of
from ..features.matrix import FeatureMatrix
from ..features.sparse import Inputs, SparseMatrix, first_layer_input
from ..nn.students import inner_width, kept_share, shape_of
from ..system.arrays import is_mapped
from ..system.kept import kept
from ..system.runtime import Runtime

MIN_POOL = 1 << 14  # rows, at least, that are read together from a file
MIN_STEP, MAX_STEP = 1024, 1 << 16  # nodes of a step whose size nobody gave, where all do not fit


@dataclass(frozen=True)
class Placement:
    """
    Args:
        inputs: `[N, D]`, where batches take them from.
        step: nodes per step, of all processes together; None: all.
        pool: rows that are read together; None: the inputs lie on the device.
    """

    inputs: Tensor | SparseMatrix
    step: int | None
    pool: int | None


def place(
    config: Config,
    inputs: Tensor,
    classes: int,
    runtime: Runtime,
    task: Task = "classification",
    copies: int = 0,
) -> Placement:
    """On the device, all in one step, where that fits; else by steps, and where the inputs alone do
    not fit, from where they lie, so many rows at a time. The first process decides for all.
    Inputs that are propagated inside the student stay where they are: it does not read them.

    Args:
        copies: dense ones of a step's inputs that it holds.
    """
    s, device, budget = config.student, runtime.device, runtime.budget
    matrix, left = FeatureMatrix(inputs), budget.left(device)
    N = matrix.num_rows
    # Inputs and targets, and of the loss its constant terms, label (or as many) and influence.
    several = 0 if task == "classification" else classes
    per_row = 4 * matrix.num_columns + 4 * (classes + several) + 32
    # Each hidden layer keeps its product, what of it passed ReLU and dropout, and gradients.
    shape = shape_of(config, matrix.num_columns, classes)
    per_node = 20 * inner_width(shape) + 32 * (classes + several)
    per_node += 4 * copies * matrix.num_columns
    views = views_of(config)
    if config.in_products:
        # Instead of the inputs X, as large at most; of each view its products before and after
        # propagation, masked and with gradients.
        per_node = views * (per_node + 16 * shape["hidden"])
    elif views > 1 or kept_share(config) < 1:
        # Those of an epoch are rows beside the inputs; a step has all of them in one, in float32.
        per_row += 4 * views * matrix.num_columns
        per_node = views * (per_node + 4 * matrix.num_columns)
    step = s.batch_size
    budget.make_room(device, N * (per_node + per_row))
    if step is None and N * (per_node // runtime.ranks.size + per_row) > left:
        step = min(MAX_STEP, max(MIN_STEP, left // 2 // per_node))
    if step is not None and step >= N:
        step = None
    resident = device.type == "cpu" and not matrix.is_mapped
    pool = None if resident or N * per_row < left else max(MIN_POOL, left // 8 // per_row)
    step, pool = runtime.ranks.tell((step, pool))
    if pool is not None:
        return Placement(inputs, step or min(MAX_STEP, N), pool)
    if config.in_products:
        return Placement(inputs, step, None)
    kind: Inputs = "dense" if s.reads_hops else config.train.inputs
    return Placement(_on_device(matrix, device, kind), step, None)


def _on_device(
    matrix: FeatureMatrix, device: torch.device, inputs: Inputs
) -> Tensor | SparseMatrix:
    x = matrix.values
    if matrix.dtype == torch.float32:  # as the model reads it
        x = kept(x, device)
    x = x.clone() if is_mapped(x) else x
    return first_layer_input(x, device, inputs)
