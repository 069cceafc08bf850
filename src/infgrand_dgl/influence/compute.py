"""The influence scores that an experiment asks for, of what training may see."""

from dataclasses import replace

import torch
from torch import Tensor

from ..config.schema import Config
from ..data.dataset import UNLABELLED, NodeDataset
from ..propagation.equation import Propagation
from ..propagation.memory import matrix_needs
from ..registry import measures
from ..system.arrays import release
from ..system.kept import kept
from ..system.runtime import Runtime
from .cosine import Influence, cosine_influence
from .measure import Inputs, measured
from .streamed import cosine_influence_by_blocks


def influence(
    config: Config, dataset: NodeDataset, runtime: Runtime, *, logits: Tensor | None = None
) -> Influence:
    """I_g by `config.influence`, `[N]` in raw node order, on the device.

    Inductive: "strict" scores the observed graph alone, NaN elsewhere; "authors" takes the
    minimum over the whole graph and sums over as many first nodes as are observed.

    In memory where that fits and one process runs; else by slabs of columns and blocks of rows,
    with X^(k) in a temporary file. The features of a strict inductive run are in memory all the
    same.

    Args:
        logits: the teacher's, `[N, C]`, for the measures that need them.

    Raises:
        InputError: NaN or infinite features; no logits where the measure needs them; a budget in
            which not even little pieces fit, or in which `algorithm: blocked` does not.
    """
    c, observed = config.influence, dataset.parts.observed
    strict = observed is not None and c.inductive == "strict"
    seen = dataset.observed_view() if strict else dataset
    measure = measures[c.measure]
    result = Influence(torch.empty(0))
    if measure.needs_cosine:
        count = None if observed is None or strict else len(observed)
        result = _cosine(config, seen, runtime, count)
    if c.measure != "cosine":  # which is done: its graph need not come to the GPU again
        if logits is not None:
            logits = (logits[observed] if strict else logits).to(runtime.device)
        inputs = Inputs(
            kept(seen.csr, runtime.device),
            hops=c.hops,
            self_loop_weight=config.propagation.self_loop_weight,
            normalization=c.normalization,
            features=seen.features,
            logits=logits,
            cosine=result.scores,
            mix=c.mix,
            task=dataset.task,
            labels=_training_labels(seen).to(runtime.device) if measure.needs_labels else None,
        )
        result = replace(result, scores=measured(measure, inputs))
    release(*seen.csr.arrays)
    seen.matrix.release()
    return replace(result, scores=dataset.scattered(result.scores)) if strict else result


def _training_labels(seen: NodeDataset) -> Tensor:
    """Labels as the dataset has them: of the nodes that train, none of others."""
    classes = seen.task == "classification"
    labels = torch.full_like(seen.labels, UNLABELLED if classes else torch.nan)
    labels[seen.train] = seen.labels[seen.train]
    return labels


def _cosine(
    config: Config, seen: NodeDataset, runtime: Runtime, num_columns: int | None
) -> Influence:
    c, weight = config.influence, config.propagation.self_loop_weight
    budget, device = runtime.budget, runtime.device
    # x, y and their unit rows; the search's own order of one of them takes the place of y.
    needed = matrix_needs(seen, device, matrices=4)
    blocked = c.algorithm == "blocked"
    if blocked:
        budget.require("form all pairs (influence.algorithm: blocked)", *needed)
    if blocked or (runtime.ranks.size == 1 and budget.fits(*needed)):
        return cosine_influence(
            kept(seen.csr, device),
            seen.dense_features(device),
            hops=c.hops,
            normalization=c.normalization,
            self_loop_weight=weight,
            algorithm=c.algorithm,
            num_columns=num_columns,
        )
    return cosine_influence_by_blocks(
        seen.csr,
        seen.matrix,
        Propagation(c.hops, weight),
        runtime,
        normalization=c.normalization,
        num_columns=num_columns,
    )
