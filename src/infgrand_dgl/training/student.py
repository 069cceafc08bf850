"""The student, trained by the method of its configuration."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..config.schema import Config
from ..data import NodeDataset
from ..distillation.objective import Lesson, Objective, Student
from ..errors import InputError
from ..features.sparse import SparseMatrix
from ..nn.mlp import MLP
from ..nn.students import build, shape_of
from ..propagation.products import PropagatedMatrix
from ..registry import methods
from ..system.arrays import release
from ..system.precision import products_in
from ..system.runtime import Runtime
from .batches import NodeBatches
from .checkpoint import Checkpoint
from .columns import as_they_are
from .loop import Losses, OnEpoch, Task, fit, forwards, seed_everything
from .metrics import chosen, likeliest
from .optimizer import adam
from .placement import Placement, place

EVALUATED_ROWS = 1 << 14  # at once
BESIDE = "beside"  # the name, while a student trains, of its objective's module
Features = Tensor | SparseMatrix | PropagatedMatrix


def train_student(
    config: Config,
    view: NodeDataset,
    inputs: Tensor,
    influence: Tensor | None,
    logits: Tensor | None,
    runtime: Runtime,
    seed: int,
    on_epoch: OnEpoch,
    checkpoint: Checkpoint | None = None,
    start: Mapping[str, Tensor] | None = None,
    **taught: Tensor,
) -> MLP:
    """Trains a student by `config.method`.

    A step sees all nodes that the method's loss is a sum over, where they fit, or
    `student.batch_size` of them: the mean of an epoch's gradients at fixed weights is the gradient
    of the complete loss.

    Args:
        view: what training may see; ids and rows below are its own.
        inputs: what the student reads, `[N, D]`, floating point, dense (possibly memory-mapped) or
            sparse CSR.
        influence: $I_g$, `[N]`, and
        logits: the teacher's, `[N, C]`, possibly memory-mapped; None where the method has no use
            for them.
        start: weights to begin with; None: drawn by the seed.
        taught: what else of the teacher it needs, of a `Lesson`.

    Returns:
        The student with its best weights.

    Raises:
        InputError: the form of the loss needs all nodes in one step, and they are not.
    """
    lesson = Lesson(config, view, influence, logits, runtime, seed, **taught)
    objective = methods[config.method].objective(lesson)
    placement = place(config, inputs, view.num_classes, runtime, view.task, objective.copies)
    all_at_once = "propagation.of: products" if config.in_products else objective.all_at_once
    if all_at_once and (placement.step is not None or runtime.ranks.size > 1):
        raise InputError(f"{all_at_once} needs all nodes in one step of one process")
    x: Features = placement.inputs
    if config.in_products:
        x = PropagatedMatrix.of(config, view, runtime)
    batches = _batches(objective, x, placement, runtime, seed)
    seed_everything(seed)
    model = _model(config, x.shape[1], view.num_classes, runtime)
    if lesson.task.units is not None:
        model.set_units(*lesson.task.units)
    if start is not None:
        model.load_state_dict(start)
    if objective.module is not None:
        model.add_module(BESIDE, objective.module.to(runtime.device))
    with products_in(config.train.precision, runtime.device):
        fit(
            model,
            _task(config, view, model, objective, x, batches, runtime),
            optimizer=adam(model, config.student),
            epochs=config.student.epochs or config.train.epochs,
            patience=config.train.patience,
            on_epoch=on_epoch,
            checkpoint=checkpoint,
            ranks=runtime.ranks,
            ema=config.student.ema,
        )
    if objective.module is not None:
        delattr(model, BESIDE)
    return model


def _batches(
    objective: Objective, x: Features, placement: Placement, runtime: Runtime, seed: int
) -> NodeBatches:
    nodes, rows = objective.nodes, dict(objective.rows)
    if objective.reads_inputs:
        rows["x"] = x if nodes is None else x[nodes.to(x.device)]
    where = runtime.device if placement.pool is None else torch.device("cpu")
    return NodeBatches(
        {name: values.to(where) for name, values in rows.items()},
        placement.step,
        runtime.device,
        pool=placement.pool,
        ranks=runtime.ranks,
        seed=seed,
    )


def _model(config: Config, in_features: int, classes: int, runtime: Runtime) -> MLP:
    s = config.student
    shape = shape_of(config, in_features, classes)
    model = build(shape, dropout=s.dropout, input_dropout=s.input_dropout).to(runtime.device)
    if runtime.ranks.size > 1 and runtime.device.type == "cuda" and s.norm == "batch":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    # Not the wrapper, nor what propagates products: torch.compile cannot see through them.
    if config.train.compile and not config.in_products:
        model.compile()
    return model


def _task(
    config: Config,
    view: NodeDataset,
    model: MLP,
    objective: Objective,
    inputs: Features,
    batches: NodeBatches,
    runtime: Runtime,
) -> Task:
    device, metric = runtime.device, chosen(config.train.metric, view.task)
    scorer = metric.of(view.task)
    together, alone = (
        _of_features(forward) for forward in forwards(model, config.train.precision, runtime)
    )
    student = Student(together, alone)
    val, val_labels = view.val.to(inputs.device), view.labels[view.val].to(device)
    # The loss is a sum over nodes; recorded and applied are means, over steps and processes.
    scale = runtime.ranks.size * len(batches)

    @torch.no_grad()
    def logits_of_rows() -> Tensor:
        nodes = objective.nodes
        ids = torch.arange(inputs.shape[0]) if nodes is None else nodes
        model.eval()
        logits = outputs(alone, inputs, ids, device, as_they_are)
        model.train()
        return logits

    def steps(epoch: int) -> Iterator[Losses]:
        if objective.renewed is not None:
            batches.renew(objective.renewed(epoch, logits_of_rows))
        for batch in batches.epoch(epoch):
            losses = objective.losses(student, batch)
            yield {name: scale * loss for name, loss in losses.items()}

    def evaluate() -> Tensor:
        read = outputs(alone, inputs, val, device, scorer.read)
        return scorer.value(read, val_labels, view.num_classes)

    # An epoch must be one step of one process, and its evaluation, on what lies on the device.
    # (Rows of a `SparseMatrix` have to be counted; compiled code has graphs of its own.)
    whole = isinstance(inputs, Tensor | PropagatedMatrix)
    resident = whole and inputs.device.type == device.type
    one_step = batches.full is not None and runtime.ranks.size == 1
    repeats = resident and one_step and not config.train.compile and objective.renewed is None
    return Task(steps, evaluate, metric.name, repeats)


def outputs(
    model: Callable[[Features], Tensor],
    inputs: Features,
    ids: Tensor,
    device: torch.device,
    read: Callable[[Tensor], Tensor] = likeliest,
) -> Tensor:
    """What is read of the logits of the nodes, int64 `[n]`, from their rows of `inputs`.

    By default the likeliest class.
    """
    parts = []
    rows = len(ids) if isinstance(inputs, PropagatedMatrix) else EVALUATED_ROWS
    for part in ids.split(rows):
        x = inputs[part.to(inputs.device)]
        if isinstance(inputs, Tensor):
            release(inputs)
        parts.append(read(model(_float(x.to(device)))))
    return torch.cat(parts) if parts else ids.to(device)


def _of_features(forward: Callable[..., Tensor]) -> Callable[..., Any]:
    """Of features of any floating point."""
    return lambda x, **options: forward(_float(x), **options)


def _float(x: Features) -> Features:
    return x.float() if isinstance(x, Tensor) else x
