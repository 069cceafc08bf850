"""The teacher: a GNN trained with cross-entropy on the graph that training may see."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from ..config.schema import Config, TeacherConfig
from ..data import NodeDataset
from ..errors import InputError
from ..features.sparse import Inputs, SparseMatrix, first_layer_input
from ..graph import dgl_bridge
from ..nn.gnn import GNN, Backend
from ..nn.native import Graph
from ..registry import teachers
from ..system.arrays import map_array, release
from ..system.kept import kept
from ..system.memory import Budget
from ..system.precision import forward_in, products_in
from ..system.ranks import Ranks
from .layerwise import layerwise
from .loop import Accuracies, Losses, OnEpoch, Surroundings, accuracy, adam, fit, seed_everything
from .sampling import Neighborhoods, mixed, shuffled

Steps = Callable[[int], Iterator[Losses]]
Evaluate = Callable[[], Accuracies]

BATCH_SIZE, FANOUT = 1024, 10  # of sampled training, unless configured

# Floats held per node and output: of all layers in training, of the widest layer in a forward
# (resident memory of 200,000 nodes on the CPU; the allocator's share included, and aggregated
# features, which are no wider than the first layer's output).
TRAINED = {"gcn": 8, "sage": 8, "gat": 13}
INFERRED = 4

ROWS = 1 << 16  # checked at once


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
    if model.backend == "native":
        return kept(data.csr, device), first_layer_input(
            kept(data.features, device), device, inputs
        )
    return data.graph.to(device), data.dense_features(device)


def is_sampled(
    config: Config, view: NodeDataset, device: torch.device, budget: Budget | None
) -> bool:
    """Whether training takes sampled neighbourhoods: asked for, or the full graph does not fit.

    Raises:
        InputError: it does not fit, and the backend is DGL's.
    """
    if config.teacher.batch_size is not None:
        return True
    if budget is None or fits(config, view, device, budget):
        return False
    if config.teacher.backend == "dgl":
        raise InputError(
            "teacher.backend: dgl trains on the full graph alone, which does not fit into memory; "
            "take native (or auto)"
        )
    return True


def fits(config: Config, view: NodeDataset, device: torch.device, budget: Budget) -> bool:
    """Whether training on the full graph takes no more than is left of the budget."""
    t = config.teacher
    widths = [view.num_features, *[t.hidden] * (t.layers - 1), view.num_classes]
    return budget.fits_on(device, _bytes(view, TRAINED[t.model] * sum(widths[1:]), device))


def _bytes(data: NodeDataset, floats: int, device: torch.device) -> int:
    """Of graph and features, and of so many floats per node."""
    N, features = data.num_nodes, data.matrix.input_bytes
    if device.type == "cuda":  # what is kept of features that are used in another form
        features += 0 if data.matrix.is_plain else data.matrix.stored_bytes
    return 8 * N + 4 * data.num_edges + features + 4 * N * floats


def train_teacher(
    config: Config, view: NodeDataset, at: Surroundings, seed: int, on_epoch: OnEpoch
) -> GNN:
    """Trains `config.teacher` on what training may see (`NodeDataset.observed_view`).

    On the full graph, in one process, where that fits and no `batch_size` is given (`is_sampled`);
    else on sampled neighbourhoods, each process on its share of the training nodes.
    """
    seed_everything(seed)
    model = build_teacher(config.teacher, view.num_features, view.num_classes).to(at.device)
    sampled = at.ranks.size > 1 or is_sampled(config, view, at.device, at.budget)
    if sampled:
        steps, evaluate = _sampled(config, model, view, seed, at.ranks, at.budget)
    else:
        steps, evaluate = _full(config, model, view)
    with products_in(config.train.precision, at.device):
        fit(
            model,
            steps=steps,
            evaluate=evaluate,
            optimizer=adam(model, config.teacher),
            epochs=config.teacher.epochs or config.train.epochs,
            patience=config.train.patience,
            on_epoch=on_epoch,
            checkpoint=at.checkpoint,
            ranks=at.ranks,
            repeats=not sampled and _repeats(config.teacher, model),
        )
    return model


def _repeats(config: TeacherConfig, model: GNN) -> bool:
    """Whether its kernels are ours or torch's, and get no new number from Python at every call, as
    the attention's dropout does."""
    drops = config.model == "gat" and config.attention_dropout > 0
    return model.backend == "native" and not drops


def _full(config: Config, model: GNN, view: NodeDataset) -> tuple[Steps, Evaluate]:
    device = next(model.parameters()).device
    labels = view.labels.to(device)
    train, val, test = (ids.to(device) for ids in (view.train, view.val, view.test))
    shown = "test" if config.data.setting == "transductive" else "test_observed"
    graph, features = teacher_inputs(model, view, config.train.inputs)
    x = model.constant(graph, features)
    forward, known = forward_in(config.train.precision, model, device), labels[train]

    def steps(epoch: int) -> Iterator[Losses]:
        yield {"loss": cross_entropy(forward(graph, x).index_select(0, train), known)}

    def evaluate() -> Accuracies:
        logits = forward(graph, x)
        return {
            name: accuracy(logits[ids], labels[ids]) for name, ids in [("val", val), (shown, test)]
        }

    return steps, evaluate


def _sampled(
    config: Config,
    model: GNN,
    view: NodeDataset,
    seed: int,
    ranks: Ranks,
    budget: Budget | None,
) -> tuple[Steps, Evaluate]:
    """An epoch depends on the seed, its number and this process alone, not on those before it."""
    t, device = config.teacher, next(model.parameters()).device
    size, fanouts = t.batch_size or BATCH_SIZE, t.fanouts or [FANOUT] * t.layers
    sampler = Neighborhoods(view.csr, view.features, fanouts, device, config.train.inputs, budget)
    parallel = DistributedDataParallel(model) if ranks.size > 1 else model
    training, judging = (
        forward_in(config.train.precision, module, device) for module in (parallel, model)
    )
    share = ranks.share(len(view.val))
    val = view.val[share.start : share.stop]

    def steps(epoch: int) -> Iterator[Losses]:
        nodes = shuffled(view.train, ranks, seed, epoch)
        own = mixed(seed, epoch, ranks.rank)
        torch.manual_seed(own)
        for seeds, blocks, x in sampler.batches(nodes, size, own):
            labels = view.labels[seeds].to(device, non_blocking=True)
            yield {"loss": cross_entropy(training(blocks, x), labels)}

    def evaluate() -> Accuracies:
        correct = torch.zeros((), dtype=torch.long, device=device)
        for seeds, blocks, x in sampler.batches(val, size, mixed(seed, 0, ranks.rank)):
            labels = view.labels[seeds].to(device, non_blocking=True)
            correct += (judging(blocks, x).argmax(dim=1) == labels).sum()
        return {"val": ranks.sum(correct).double() / len(view.val)}

    return steps, evaluate


@torch.no_grad()
def teacher_logits(
    model: GNN,
    dataset: NodeDataset,
    *,
    budget: Budget | None = None,
    scratch: Path | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Logits of all nodes, `[N, C]` on the CPU.

    Inductive: observed nodes see the observed graph alone, the others the whole graph.

    Args:
        budget: where a full forward does not fit it, one layer follows the other (`layerwise`).
        scratch: folder for layers that do not fit the memory; None: they stay there.
        dtype: of the result.
    """

    def logits(data: NodeDataset) -> Tensor:
        if model.backend == "dgl" or budget is None or forward_fits(model, data, budget):
            return model(*teacher_inputs(model, data)).cpu().to(dtype)
        return layerwise(
            model, data.csr, data.features, budget=budget, scratch=scratch, dtype=dtype
        )

    out = logits(dataset)
    if dataset.parts.observed is not None:
        out[dataset.parts.observed] = logits(dataset.observed_view())
    return out


def forward_fits(model: GNN, data: NodeDataset, budget: Budget) -> bool:
    """Whether the model on the full graph takes no more than is left of the budget."""
    device = next(model.parameters()).device
    return budget.fits_on(device, _bytes(data, INFERRED * max(model.widths[1:]), device))


def load_logits(path: Path, num_nodes: int, num_classes: int) -> Tensor:
    """Saved logits, `[N, C]` of a floating dtype, memory-mapped.

    Raises:
        InputError: another shape or dtype, or a row that is not finite.
    """
    logits = map_array(path)
    expected = [num_nodes, num_classes]
    if list(logits.shape) != expected or not logits.is_floating_point():
        found = str(logits.dtype).removeprefix("torch.")
        raise InputError(
            f"{path}: expected floating-point logits of shape {expected}, "
            f"found {found} of shape {list(logits.shape)}"
        )
    start = 0
    for rows in logits.split(ROWS):
        finite = rows.isfinite().all(dim=1)
        if not finite.all():
            row = start + int((~finite).nonzero()[0])
            raise InputError(f"{path}: expected finite logits, but those of node {row} are not")
        start += len(rows)
        release(logits)
    return logits
