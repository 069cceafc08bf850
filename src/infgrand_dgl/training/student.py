"""The student: an MLP, trained by the method of its configuration."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..config.schema import Config
from ..data import NodeDataset
from ..distillation.objective import Lesson
from ..errors import InputError
from ..features.sparse import SparseMatrix, first_layer_input
from ..nn.mlp import MLP
from ..registry import methods
from ..system.arrays import is_mapped, release
from ..system.kept import kept
from ..system.memory import Budget
from ..system.precision import forward_in, products_in
from ..system.runtime import Runtime
from .batches import NodeBatches, Rows
from .loop import OnEpoch, Surroundings, adam, fit, seed_everything

ROWS_AT_ONCE = 1 << 14  # of an evaluation, and at least from a file
LARGEST_STEP = 1 << 16  # nodes of a step whose size nobody gave, where all do not fit
Features = Tensor | SparseMatrix


def train_student(
    config: Config,
    view: NodeDataset,
    inputs: Tensor,
    influence: Tensor | None,
    logits: Tensor | None,
    at: Surroundings,
    seed: int,
    on_epoch: OnEpoch,
) -> MLP:
    """Trains an MLP by `config.method`.

    A step sees all nodes that the method's loss is a sum over, where they fit, or
    `student.batch_size` of them: the mean of an epoch's gradients at fixed weights is the gradient
    of the whole loss.

    Args:
        view: what training may see; ids and rows below are its own.
        inputs: what the student reads, `[N, D]`, floating point, dense (possibly memory-mapped) or
            sparse CSR.
        influence: $I_g$, `[N]`, and
        logits: the teacher's, `[N, C]`, possibly memory-mapped; None where the method has no use
            for them.

    Returns:
        The student with its best weights.
    """
    budget = at.budget or Budget.of(config.resources)
    runtime = Runtime(at.device, budget, at.scratch, at.ranks)
    lesson = Lesson(config, view, influence, logits, runtime)
    objective = methods[config.method].objective(lesson)
    x, size, pool = _placed(config, inputs, view.num_classes, at, budget)
    if objective.all_at_once and (size is not None or at.ranks.size > 1):
        raise InputError(
            f"distillation.loss: {config.distillation.loss} needs all nodes in one step of one "
            "process; collapsed does not"
        )
    nodes = objective.nodes
    mine = x if nodes is None else x[nodes.to(x.device)]
    where = at.device if pool is None else torch.device("cpu")
    rows = {name: values.to(where) for name, values in {"x": mine, **objective.rows}.items()}
    batches = NodeBatches(rows, size, at.device, pool=pool, ranks=at.ranks, seed=seed)
    share = at.ranks.size * len(batches)

    def losses(forward: Callable[[Features], Tensor], batch: Rows) -> dict[str, Tensor]:
        found = objective.losses(forward(batch["x"]), batch)
        return {name: share * loss for name, loss in found.items()}

    return _train(config, view, x, batches, losses, at, seed, on_epoch)


def _train(
    config: Config,
    view: NodeDataset,
    inputs: Features,
    batches: NodeBatches,
    losses: Callable[[Callable[[Features], Tensor], Rows], dict[str, Tensor]],
    at: Surroundings,
    seed: int,
    on_epoch: OnEpoch,
) -> MLP:
    seed_everything(seed)
    s = config.student
    model = MLP(
        inputs.shape[1], s.hidden, view.num_classes, layers=s.layers, dropout=s.dropout, norm=s.norm
    ).to(at.device)
    if at.ranks.size > 1 and at.device.type == "cuda" and s.norm == "batch":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    if config.train.compile:  # not the wrapper, which torch.compile cannot see through
        model.compile()
    whole = DistributedDataParallel(model) if at.ranks.size > 1 else model
    shown = "test" if config.data.setting == "transductive" else "test_observed"
    judged = {
        name: (ids.to(inputs.device), view.labels[ids].to(at.device))
        for name, ids in (("val", view.val), (shown, view.test))
    }
    training, judging = (
        forward_in(config.train.precision, module, at.device) for module in (whole, model)
    )

    def steps(epoch: int) -> Iterator[dict[str, Tensor]]:
        for batch in batches.epoch(epoch):
            yield losses(lambda x: training(_float(x)), batch)

    def evaluate() -> dict[str, Tensor]:
        return {
            name: (classes(judging, inputs, ids, at.device) == labels).double().mean()
            for name, (ids, labels) in judged.items()
        }

    with products_in(config.train.precision, at.device):
        fit(
            model,
            steps=steps,
            evaluate=evaluate,
            optimizer=adam(model, s),
            epochs=config.student.epochs or config.train.epochs,
            patience=config.train.patience,
            on_epoch=on_epoch,
            checkpoint=at.checkpoint,
            ranks=at.ranks,
            repeats=_repeats(config, inputs, batches, at),
        )
    return model


def _repeats(config: Config, inputs: Features, batches: NodeBatches, at: Surroundings) -> bool:
    """Whether an epoch is one step of one process, and its evaluation, on what lies on the device.

    (Rows of a `SparseMatrix` have to be counted; compiled code has graphs of its own.)
    """
    here = isinstance(inputs, Tensor) and inputs.device.type == at.device.type
    alone = batches.whole is not None and at.ranks.size == 1
    return here and alone and not config.train.compile


def classes(
    model: Callable[[Features], Tensor], inputs: Features, ids: Tensor, device: torch.device
) -> Tensor:
    """The likeliest class of the nodes, int64 `[n]`, from their rows of `inputs`."""
    found = []
    for part in ids.split(ROWS_AT_ONCE):
        x = inputs[part.to(inputs.device)]
        if isinstance(inputs, Tensor):
            release(inputs)
        found.append(model(_float(x.to(device))).argmax(dim=1))
    return torch.cat(found) if found else ids.to(device)


def _float(x: Features) -> Features:
    return x.float() if isinstance(x, Tensor) else x


def _placed(
    config: Config, x: Tensor, classes: int, at: Surroundings, budget: Budget
) -> tuple[Features, int | None, int | None]:
    """Inputs where batches take them from, nodes per step, and rows to read together.

    On the device, all in one step, where that fits; else by steps, and where the inputs alone do
    not fit, from where they lie, so many rows at a time. The first process decides for all.
    """
    s, left = config.student, budget.left(at.device)
    N = x.shape[0]
    per_row = 4 * x.shape[1] + 4 * classes + 32  # inputs, targets, own term, label, influence
    # Each hidden layer keeps its product, what of it passed ReLU and dropout, and gradients.
    per_node = 20 * s.hidden * (s.layers - 1) + 32 * classes
    size = s.batch_size
    budget.make_room(at.device, N * (per_node + per_row))
    if size is None and N * (per_node // at.ranks.size + per_row) > left:
        size = min(LARGEST_STEP, max(1024, left // 2 // per_node))
    if size is not None and size >= N:
        size = None
    here = at.device.type == "cpu" and not is_mapped(x)
    pool = None if here or N * per_row < left else max(ROWS_AT_ONCE, left // 8 // per_row)
    size, pool = at.ranks.tell((size, pool))
    if pool is None:
        if x.dtype == torch.float32:  # as the model reads it
            x = kept(x, at.device)
        x = x.clone() if is_mapped(x) else x
        return first_layer_input(x, at.device, config.train.inputs), size, None
    return x, size or min(LARGEST_STEP, N), pool
