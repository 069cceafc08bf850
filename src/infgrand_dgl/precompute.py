"""What is computed once from the graph, before any training: influence and student inputs."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .config import Config
from .data import NodeDataset
from .distributed import ALONE, Ranks
from .errors import InputError
from .files import is_mapped, map_array, release
from .influence import Influence, cosine_influence
from .influence_blocks import cosine_influence_by_blocks
from .kept import kept
from .measures import OF_FEATURES, measured
from .propagation import propagate_features
from .resources import Budget
from .rows import largest_magnitude, plain, stored
from .slabs import (
    Progress,
    csr_bytes,
    propagate_slabs,
    shared_array,
    slab_needs,
    slab_width,
    slabs_of,
)
from .writing import writing


def resolve_device(name: str) -> torch.device:
    """The device of a name; "auto" is the GPU where torch has one.

    Raises:
        InputError: "cuda" without one.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        why = "this torch has no CUDA" if torch.version.cuda is None else "torch finds no GPU"
        raise InputError(f"train.device: cuda is not available ({why}); use cpu or auto")
    return torch.device(name)


def influence(
    config: Config,
    dataset: NodeDataset,
    device: torch.device,
    *,
    logits: Tensor | None = None,
    budget: Budget | None = None,
    scratch: Path | None = None,
    ranks: Ranks = ALONE,
    progress: Progress | None = None,
) -> Influence:
    """I_g by `config.influence`, `[N]` in raw node order, on `device`.

    Inductive: "strict" scores the observed graph alone, NaN elsewhere; "authors" takes the
    minimum over the whole graph and sums over as many first nodes as are observed.

    In memory where that fits and one process runs; else by slabs of columns and blocks of rows,
    with X^(k) in a temporary file. The features of a strict inductive run are in memory all the
    same.

    Args:
        logits: the teacher's, `[N, C]`, for the measures that need them.
        budget: what this process may hold; by default as `config.resources` says.
        scratch: a folder for the temporary file, of all processes; by default the system's.
        ranks: the processes that share the work; all get the scores.
        progress: is told how much is done where that is not one step.

    Raises:
        InputError: NaN or infinite features; no logits where the measure needs them; a budget in
            which not even little pieces fit, or in which `algorithm: blocked` does not.
    """
    c, observed = config.influence, dataset.parts.observed
    budget = budget or Budget.of(config.resources)
    strict = observed is not None and c.inductive == "strict"
    seen = dataset.observed_view() if strict else dataset
    settings: dict[str, Any] = {
        "hops": c.hops,
        "normalization": c.normalization,
        "self_loop_weight": config.propagation.self_loop_weight,
    }
    found = Influence(torch.empty(0))
    if c.measure in OF_FEATURES:
        count = None if observed is None or strict else len(observed)
        options = {**settings, "num_columns": count, "algorithm": c.algorithm}
        found = _cosine(seen, device, options, budget, scratch, ranks, progress)
    if c.measure != "cosine":
        if logits is not None and strict:
            logits = logits[observed]
        scores = measured(
            c.measure,
            kept(seen.csr, device),
            logits=logits,
            cosine=found.scores,
            mix=c.mix,
            **settings,
        )
        found = replace(found, scores=scores)
    release(seen.csr.indptr, seen.csr.indices, seen.features)
    if not strict:
        return found
    scores = torch.full((dataset.num_nodes,), torch.nan, device=device)
    scores[observed] = found.scores
    return replace(found, scores=scores)


def _cosine(
    seen: NodeDataset,
    device: torch.device,
    settings: dict[str, Any],
    budget: Budget,
    scratch: Path | None,
    ranks: Ranks,
    progress: Progress | None,
) -> Influence:
    # x, y and their unit rows; the search's own order of one of them takes the place of y.
    needed = _needs(seen, device, matrices=4)
    blocked = settings["algorithm"] == "blocked"
    if blocked:
        budget.require("form all pairs (influence.algorithm: blocked)", *needed)
    if blocked or (ranks.size == 1 and budget.fits(*needed)):
        csr, features = kept(seen.csr, device), seen.dense_features(device)
        return cosine_influence(csr, features, **settings)
    del settings["algorithm"]
    return cosine_influence_by_blocks(
        seen.csr,
        seen.features,
        device=device,
        budget=budget,
        scratch=scratch,
        ranks=ranks,
        progress=progress,
        **settings,
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
        largest_magnitude(data.features, data.num_nodes, ranks, device)  # checks them
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
    csr, features = dataset.csr, dataset.features
    release(csr.indptr, csr.indices, features)
    graph = csr_bytes(csr) if is_mapped(csr.indices) else 0
    matrix = 4 * dataset.num_nodes * dataset.num_features
    mapped, kept_too = is_mapped(features), 0 if plain(features) else stored(features)
    work = matrices * matrix + 300 * dataset.num_nodes
    if device.type == "cuda":
        gpu = graphs * (csr_bytes(csr) + kept_too) + work
        return graph + (stored(features) if mapped else 0), gpu
    return graph + work - (matrix if plain(features) and not mapped else 0), 0


def flat_warning(config: Config) -> str:
    """What to say when the scores hardly differ (see `Spread.flat`)."""
    other = "" if config.influence.normalization == "max" else "influence.normalization: max or "
    return (
        "the influence scores are almost constant, so gamma2 and delta2 do next to "
        f"nothing; consider {other}another influence.measure"
    )


def describe(dataset: NodeDataset) -> str:
    return (
        f"{dataset.name}: {dataset.num_nodes:,} nodes, {dataset.num_edges:,} edges, "
        f"{dataset.num_features:,} features, {dataset.num_classes} classes"
    )
