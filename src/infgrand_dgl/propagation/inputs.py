"""What the student reads: X~, or X^(0) to X^(P), in memory or by slabs of columns."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..config.schema import Config
from ..data.dataset import NodeDataset
from ..system.arrays import is_mapped, map_array
from ..system.kept import kept
from ..system.ranks import ALONE
from ..system.runtime import Runtime
from ..system.writing import writing
from .equation import Propagation, propagate_features
from .memory import matrix_needs, slab_needs, slab_width, slabs_of
from .streamed import propagate_slabs, shared_array


def propagation_of(config: Config) -> Propagation:
    """What the configuration's student reads, where that is propagated."""
    p = config.propagation
    pooling = None if config.student.reads_hops else p.pooling
    return Propagation(p.hops, p.self_loop_weight, pooling)


def student_inputs(
    config: Config,
    dataset: NodeDataset,
    runtime: Runtime,
    *,
    out: Path | None = None,
    propagation: Propagation | None = None,
) -> Tensor:
    """X~, `[N, D]`, or of a student that reads all hops X^(0) to X^(P) side by side,
    `[N, (P + 1) D]`; float16 where the features are, else float32.

    Inductive: `NodeDataset.by_view`. The features of the observed graph are then held in memory.

    Args:
        out: a .npy file. Where the result does not fit in memory, or several processes share the
            work, it is written there, under its name when it is complete, and returned mapped.
            Otherwise nothing is written. The processes share the work only where it is given; all
            must see it.
        propagation: instead of the configuration's.

    Returns:
        On the device; on the CPU where it was computed by slabs of columns.

    Raises:
        InputError: NaN or infinite features; a budget in which not even few columns fit.
    """
    propagation = propagation or propagation_of(config)
    device, ranks, views = runtime.device, runtime.ranks, len(dataset.views())
    shared = ranks.size > 1 and out is not None
    # x and the result, on a GPU two buffers; of the observed graph once more.
    parts = len(propagation.parts)
    matrices = ((4 if device.type == "cuda" else 2) + (parts + 1 if parts > 1 else 0)) * views
    needs = matrix_needs(dataset, device, matrices, graphs=views)
    if not shared and runtime.budget.fits(*needs):
        return dataset.by_view(lambda view: _propagated(propagation, view, device))

    shape = dataset.num_nodes, parts * dataset.num_features
    dtype = torch.float16 if dataset.features.dtype == torch.float16 else torch.float32
    if out is None:
        inputs = torch.empty(shape, dtype=dtype)
        _by_slabs(propagation, dataset, inputs, replace(runtime, ranks=ALONE))
        return inputs
    with ranks.together(), ExitStack() as stack:
        with ranks.together():
            partial = stack.enter_context(writing(out)) if ranks.first else out
        inputs = shared_array(ranks.tell(partial), shape, dtype, ranks)
        _by_slabs(propagation, dataset, inputs, runtime)
    return map_array(out)


def _propagated(p: Propagation, dataset: NodeDataset, device: torch.device) -> Tensor:
    half = dataset.features.dtype == torch.float16
    features = kept(dataset.features, device) if half else dataset.dense_features(device)
    return propagate_features(
        kept(dataset.csr, device),
        features,
        hops=p.hops,
        pooling=p.pooling,
        self_loop_weight=p.self_loop_weight,
    )


def _by_slabs(
    propagation: Propagation, dataset: NodeDataset, out: Tensor, runtime: Runtime
) -> None:
    """`student_inputs` into `out`, slab by slab of each view."""
    device, ranks = runtime.device, runtime.ranks
    parts = len(propagation.parts)
    views = dataset.views()
    held = 0 if is_mapped(out) else out.nbytes
    slabs = []
    for view, _ in views:
        view.matrix.largest_magnitude(view.num_nodes, runtime)  # checks them
        with ranks.together():
            width = slab_width(view.csr, view.num_features, runtime, held, parts)
        slabs.append(list(slabs_of(view.num_features, width, ranks)))
    step = runtime.steps(parts * sum(map(len, slabs)))
    for (view, nodes), columns in zip(views, slabs, strict=True):
        with ranks.together():
            if columns:  # the graph of the view before may still be there
                width = columns[0].stop - columns[0].start
                runtime.budget.make_room(device, slab_needs(view.csr, width, device, parts)[1])
            propagate_slabs(
                view.csr,
                propagation,
                view.matrix,
                out,
                columns,
                device,
                nodes=nodes,
                on_slab=step,
            )
