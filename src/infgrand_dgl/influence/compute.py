"""The influence scores that an experiment asks for, of what training may see."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config.schema import Config
from ..data import NodeDataset
from ..propagation.inputs import _needs
from ..propagation.streamed import (
    Progress,
)
from ..registry import measures
from ..system.arrays import release
from ..system.kept import kept
from ..system.memory import Budget
from ..system.ranks import ALONE, Ranks
from .cosine import Influence, cosine_influence
from .measure import Inputs, measured
from .streamed import cosine_influence_by_blocks


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
    measure = measures[c.measure]
    found = Influence(torch.empty(0))
    if measure.needs_cosine:
        count = None if observed is None or strict else len(observed)
        options = {**settings, "num_columns": count, "algorithm": c.algorithm}
        found = _cosine(seen, device, options, budget, scratch, ranks, progress)
    if c.measure != "cosine":  # which is done: its graph need not come to the GPU again
        if logits is not None:
            logits = (logits[observed] if strict else logits).to(device)
        inputs = Inputs(
            kept(seen.csr, device),
            features=seen.features,
            logits=logits,
            cosine=found.scores,
            mix=c.mix,
            **settings,
        )
        found = replace(found, scores=measured(measure, inputs))
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
