"""What is computed once from the graph, before any training: influence and student inputs."""

from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor

from ..config.schema import Config
from ..data import NodeDataset
from ..system.arrays import is_mapped, map_array, release
from ..system.kept import kept
from ..system.memory import Budget
from ..system.ranks import ALONE, Ranks
from ..system.runtime import Runtime
from ..system.writing import writing
from .equation import propagate_features
from .streamed import (
    Progress,
    csr_bytes,
    propagate_slabs,
    shared_array,
    slab_needs,
    slab_width,
    slabs_of,
)


def student_inputs(
    config: Config,
    dataset: NodeDataset,
    device: torch.device,
    *,
    out: Path | None = None,
    budget: Budget | None = None,
    ranks: Ranks = ALONE,
    progress: Progress | None = None,
) -> Tensor:
    """X~, `[N, D]`; float16 where the features are, else float32.

    Inductive: observed nodes see the observed graph, the others all of it. The features of the
    observed graph are then held in memory.

    Args:
        out: a .npy file. Where the result does not fit in memory, or several processes share the
            work, it is written there, under its name when it is whole, and returned mapped.
            Otherwise nothing is written.
        budget: what this process may hold; by default as `config.resources` says.
        ranks: the processes that share the work, where `out` is given; all must see it.
        progress: is told how much is done where that is not one step.

    Returns:
        On `device`; on the CPU where it was computed by slabs of columns.

    Raises:
        InputError: NaN or infinite features; a budget in which not even few columns fit.
    """
    budget = budget or Budget.of(config.resources)
    observed = dataset.parts.observed
    stages: list[tuple[NodeDataset, Tensor | None]] = [(dataset, None)]
    if observed is not None:
        stages.append((dataset.observed_view(), observed))
    half = dataset.features.dtype == torch.float16
    shared = ranks.size > 1 and out is not None
    # x and the result, on a GPU two buffers; of the observed graph once more.
    matrices = (4 if device.type == "cuda" else 2) * len(stages)
    if not shared and budget.fits(*_needs(dataset, device, matrices, graphs=len(stages))):
        inputs = _propagated(config, dataset, device)
        for view, nodes in stages[1:]:
            inputs[nodes] = _propagated(config, view, device).to(inputs.dtype)
        return inputs

    N, D = dataset.num_nodes, dataset.num_features
    if out is None:
        inputs = torch.empty(N, D, dtype=torch.float16 if half else torch.float32)
        _into(inputs, config, stages, device, budget, Ranks(), progress)
        return inputs
    with ranks.together(), ExitStack() as stack:
        with ranks.together():
            partial = stack.enter_context(writing(out)) if ranks.first else out
        path = ranks.tell(partial)
        inputs = shared_array(path, (N, D), "float16" if half else "float32", ranks)
        _into(inputs, config, stages, device, budget, ranks, progress)
    return map_array(out)


def _propagated(config: Config, dataset: NodeDataset, device: torch.device) -> Tensor:
    half = dataset.features.dtype == torch.float16
    features = kept(dataset.features, device) if half else dataset.dense_features(device)
    p = config.propagation
    return propagate_features(
        kept(dataset.csr, device),
        features,
        hops=p.hops,
        pooling=p.pooling,
        self_loop_weight=p.self_loop_weight,
    )


def _into(
    out: Tensor,
    config: Config,
    stages: list[tuple[NodeDataset, Tensor | None]],
    device: torch.device,
    budget: Budget,
    ranks: Ranks,
    progress: Progress | None,
) -> None:
    """`student_inputs` by slabs: of each dataset into all rows of `out`, or into those given."""
    p = config.propagation
    held = 0 if is_mapped(out) else out.numel() * out.element_size()
    slabs = []
    for data, _ in stages:
        data.matrix.largest_magnitude(data.num_nodes, Runtime(device, budget, ranks=ranks))
        with ranks.together():
            width = slab_width(data.csr, data.num_features, device, budget, held)
        slabs.append(list(slabs_of(data.num_features, width, ranks)))
    total = sum(map(len, slabs))
    steps = iter(range(1, total + 1))

    def step() -> None:
        done = next(steps)
        if progress is not None:
            progress(done, total)

    for (data, rows), columns in zip(stages, slabs, strict=True):
        with ranks.together():
            if columns:  # the graph of the stage before may still be there
                width = columns[0].stop - columns[0].start
                budget.make_room(device, slab_needs(data.csr, width, device)[1])
            propagate_slabs(
                data.csr,
                data.features,
                out,
                columns,
                hops=p.hops,
                pooling=p.pooling,
                self_loop_weight=p.self_loop_weight,
                device=device,
                rows=rows,
                on_slab=step,
            )


def _needs(
    dataset: NodeDataset, device: torch.device, matrices: int, graphs: int = 1
) -> tuple[int, int]:
    """Bytes of host and GPU memory that so many float32 matrices `[N, D]` and graphs take.

    Features that are in memory as they are needed are not taken again; mapped arrays leave it.
    """
    csr, x = dataset.csr, dataset.matrix
    release(csr.indptr, csr.indices)
    x.release()
    graph = csr_bytes(csr) if is_mapped(csr.indices) else 0
    matrix = 4 * dataset.num_nodes * dataset.num_features
    kept_too = 0 if x.is_plain else x.stored_bytes
    work = matrices * matrix + 300 * dataset.num_nodes
    if device.type == "cuda":
        gpu = graphs * (csr_bytes(csr) + kept_too) + work
        return graph + (x.stored_bytes if x.is_mapped else 0), gpu
    return graph + work - (matrix if x.is_plain and not x.is_mapped else 0), 0
