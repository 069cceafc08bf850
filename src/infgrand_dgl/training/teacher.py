"""The teacher: a GNN trained by the error of its task on the graph that training may see."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..config.schema import Config, TeacherConfig
from ..data import NodeDataset
from ..distillation.tasks import TASKS
from ..errors import InputError
from ..features.sparse import Inputs, SparseMatrix, first_layer_input
from ..graph import dgl_bridge
from ..nn.gnn import GNN, Backend, layer_widths
from ..nn.native import Graph
from ..registry import teachers
from ..system.kept import kept
from ..system.precision import products_in
from ..system.runtime import Runtime
from .checkpoint import Checkpoint
from .layerwise import layerwise
from .loop import Losses, OnEpoch, Task, fit, forwards, seed_everything
from .metrics import chosen
from .optimizer import adam
from .sampling import Neighborhoods, mixed, shuffled

log = logging.getLogger(__name__)

BATCH_SIZE, FANOUT = 1024, 10  # of sampled training, unless configured

# Floats held per node and output of the widest layer in a forward, as `Teacher.floats` are of all
# layers in training (resident memory of 200,000 nodes on the CPU; the allocator's share included,
# and aggregated features, which are no wider than the first layer's output).
INFERRED = 4

# Beside those, for what is around the convolutions: in training, and in a forward.
NORM, RESIDUAL, JUMPING = (2, 2), (3, 1), (3, 2)


def build_teacher(config: TeacherConfig, in_features: int, classes: int) -> GNN:
    """The model that `config` describes; backend "auto" is native, the faster one."""
    backend: Backend = "dgl" if config.backend == "dgl" else "native"
    return teachers[config.model].build(config, in_features, classes, backend)


def teacher_device(config: TeacherConfig, device: torch.device) -> torch.device:
    """`device`, but the CPU for a DGL that can put no graph on the GPU."""
    if config.backend == "dgl" and device.type == "cuda" and not dgl_bridge.has_cuda():
        return torch.device("cpu")
    return device


def teacher_inputs(
    model: GNN, data: NodeDataset, inputs: Inputs = "dense"
) -> tuple[Graph, Tensor | SparseMatrix]:
    """Graph and features as the model's backend takes them, on its device."""
    device = next(model.parameters()).device
    if model.backend == "dgl":
        return data.graph.to(device), data.dense_features(device)
    graph, x = kept(data.csr, device), kept(data.features, device)
    return graph, first_layer_input(x, device, inputs)


def is_sampled(config: Config, view: NodeDataset, runtime: Runtime) -> bool:
    """Whether training takes sampled neighbourhoods: asked for, or the full graph does not fit.

    Raises:
        InputError: it does not fit, and the backend is DGL's.
    """
    if config.teacher.batch_size is not None:
        return True
    if fits(config, view, runtime):
        return False
    if config.teacher.backend == "dgl":
        raise InputError(
            "teacher.backend: dgl trains on the full graph alone, which does not fit into memory; "
            "take native (or auto)"
        )
    return True


def fits(config: Config, view: NodeDataset, runtime: Runtime) -> bool:
    """Whether training on the full graph takes no more than is left of the budget."""
    t = config.teacher
    outputs = layer_widths(t, view.num_features, view.num_classes)[1:]
    floats = teachers[t.model].floats
    floats += _around(t.norm, t.residual, t.jumping_knowledge, training=True)
    dropped = view.matrix.input_bytes // view.num_nodes if t.input_dropout else 0
    return _fits(view, floats * sum(outputs) + dropped, runtime)


def _around(norm: str, residual: bool, jumping: str, training: bool) -> int:
    """Floats per node and output."""
    held = [NORM] * (norm != "none") + [RESIDUAL] * residual + [JUMPING] * (jumping != "none")
    return sum(floats[0 if training else 1] for floats in held)


def forward_fits(model: GNN, data: NodeDataset, runtime: Runtime) -> bool:
    """Whether the model on the full graph takes no more than is left of the budget."""
    floats = INFERRED + _around(model.norm, bool(model.residuals), model.jumping, training=False)
    return _fits(data, floats * max(model.widths[1:]), runtime)


def _fits(data: NodeDataset, floats: int, runtime: Runtime) -> bool:
    """Whether graph, features, and so many floats per node do."""
    features = data.matrix.input_bytes
    if runtime.device.type == "cuda" and not data.matrix.is_plain:  # kept in another form as well
        features += data.matrix.stored_bytes
    needed = data.csr.nbytes + features + 4 * data.num_nodes * floats
    return runtime.budget.fits_on(runtime.device, needed)


def train_teacher(
    config: Config,
    view: NodeDataset,
    runtime: Runtime,
    seed: int,
    on_epoch: OnEpoch,
    checkpoint: Checkpoint | None = None,
) -> GNN:
    """Trains `config.teacher` on what training may see (`NodeDataset.observed_view`).

    On the full graph, in one process, where that fits and no `batch_size` is given (`is_sampled`);
    else on sampled neighbourhoods, each process on its share of the training nodes.

    Returns:
        The teacher with its best weights.
    """
    if view.csr.weights is not None and not teachers[config.teacher.model].weights:
        log.warning(
            "teacher.model: %s: its attention reads no edge weights; gcn and sage do",
            config.teacher.model,
        )
    seed_everything(seed)
    model = build_teacher(config.teacher, view.num_features, view.num_classes).to(runtime.device)
    learning = TASKS[view.task](config, view, runtime.device)
    if learning.units is not None:
        model.set_units(*learning.units)
    if runtime.ranks.size > 1 and runtime.device.type == "cuda" and model.norm == "batch":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    if runtime.ranks.size > 1 or is_sampled(config, view, runtime):
        task = _sampled(config, model, view, seed, runtime)
    else:
        graph, features = teacher_inputs(model, view, config.train.inputs)
        task = on_full_graph(
            config,
            model,
            view,
            graph,
            model.constant(graph, features),
            runtime,
            _repeats(model, config.teacher),
        )
    with products_in(config.train.precision, runtime.device):
        fit(
            model,
            task,
            optimizer=adam(model, config.teacher),
            epochs=config.teacher.epochs or config.train.epochs,
            patience=config.train.patience,
            on_epoch=on_epoch,
            checkpoint=checkpoint,
            ranks=runtime.ranks,
        )
    return model


def on_full_graph(
    config: Config,
    model: GNN,
    view: NodeDataset,
    graph: Any,
    x: Any,
    runtime: Runtime,
    repeats: bool = False,
) -> Task:
    """A step on all training nodes at once; graph and features as the model's layers take them."""
    device, metric = runtime.device, chosen(config.train.metric, view.task)
    scorer = metric.of(view.task)
    train, labels = view.train.to(device), view.labels[view.train].to(device)
    val, val_labels = view.val.to(device), view.labels[view.val].to(device)
    forward, _ = forwards(model, config.train.precision, runtime)
    loss = TASKS[view.task](config, view, device).mean

    def steps(epoch: int) -> Iterator[Losses]:
        yield {"loss": loss(forward(graph, x).index_select(0, train), labels)}

    def evaluate() -> Tensor:
        return scorer(forward(graph, x)[val], val_labels)

    return Task(steps, evaluate, metric.name, repeats)


def _repeats(model: GNN, config: TeacherConfig) -> bool:
    """Only our kernels and torch's can be recorded."""
    return model.backend == "native" and teachers[config.model].repeats(config)


def _sampled(config: Config, model: GNN, view: NodeDataset, seed: int, runtime: Runtime) -> Task:
    """An epoch depends on the seed, its number and this process alone, not on those before it."""
    t, device, ranks = config.teacher, runtime.device, runtime.ranks
    metric = chosen(config.train.metric, view.task)
    scorer = metric.of(view.task)
    size, fanouts = t.batch_size or BATCH_SIZE, t.fanouts or [FANOUT] * len(model.layers)
    sampler = Neighborhoods(view.csr, view.matrix, fanouts, runtime, config.train.inputs)
    train, predict = forwards(model, config.train.precision, runtime)
    loss, share = TASKS[view.task](config, view, device).mean, ranks.share(len(view.val))
    val, val_labels = view.val[share.start : share.stop], view.labels[view.val].to(device)

    def steps(epoch: int) -> Iterator[Losses]:
        nodes = shuffled(view.train, ranks, seed, epoch)
        epoch_seed = mixed(seed, epoch, ranks.rank)
        torch.manual_seed(epoch_seed)
        for seeds, blocks, x in sampler.batches(nodes, size, epoch_seed):
            labels = view.labels[seeds].to(device, non_blocking=True)
            yield {"loss": loss(train(blocks, x), labels)}

    def evaluate() -> Tensor:
        batches = sampler.batches(val, size, mixed(seed, 0, ranks.rank))
        parts = [scorer.read(predict(blocks, x)) for _, blocks, x in batches]
        return scorer.value(collected(parts), val_labels, view.num_classes)

    def collected(parts: list[Tensor]) -> Tensor:
        """Of all validation nodes, what the processes have read of theirs."""
        if ranks.size == 1:
            return torch.cat(parts)
        return torch.cat([part.to(device) for part in ranks.gather(torch.cat(parts).cpu())])

    return Task(steps, evaluate, metric.name)


def teacher_logits(
    model: GNN, dataset: NodeDataset, runtime: Runtime, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Logits of all nodes, `[N, C]` on the CPU, of what each node may see.

    Args:
        runtime: its device is the model's.
        dtype: of the result.
    """
    return dataset.by_view(lambda data: logits_of(model, data, runtime, dtype))


@torch.no_grad()
def logits_of(
    model: GNN,
    data: NodeDataset,
    runtime: Runtime,
    dtype: torch.dtype = torch.float32,
    hidden: bool = False,
) -> Tensor:
    """Logits on one graph, `[N, C]` on the CPU.

    Where a full forward does not fit the budget, one layer follows the other (`layerwise`).

    Args:
        hidden: not they, but what the layer reads that gives them, `[N, H]`.
    """
    if model.backend == "dgl" or forward_fits(model, data, runtime):
        out = model(*teacher_inputs(model, data), hidden=hidden)
        return (out[1] if hidden else out).cpu().to(dtype)
    return layerwise(model, data.csr, data.matrix, runtime, dtype=dtype, hidden=hidden)


def neighbourhood_logits(
    model: GNN, dataset: NodeDataset, runtime: Runtime, inputs: Inputs = "auto"
) -> Callable[[Tensor], Tensor]:
    """Distinct nodes, int64 `[b]`, to their logits, `[b, C]`, from what these depend on alone.

    Args:
        model: of the native backend, in evaluation mode, on the runtime's device.
    """
    everyone = [-1] * len(model.layers)
    sampler = Neighborhoods(dataset.csr, dataset.matrix, everyone, runtime, inputs)

    def logits(nodes: Tensor) -> Tensor:
        ((_, blocks, x),) = sampler.batches(nodes, len(nodes), 0)
        return model(blocks, x)

    return logits
