"""What is computed once from the graph, before any training: influence and student inputs."""

from dataclasses import replace

import torch
from torch import Tensor

from .config import Config
from .data import NodeDataset
from .errors import InputError
from .influence import Influence, cosine_influence
from .propagation import propagate_features


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


def influence(config: Config, dataset: NodeDataset, device: torch.device, **_) -> Influence:
    """I_g by `config.influence`, `[N]` in raw node order.

    Inductive: "strict" scores the observed graph alone, NaN elsewhere; "authors" takes the
    minimum over the whole graph and sums over as many first nodes as are observed.
    """
    c, observed = config.influence, dataset.parts.observed
    strict = observed is not None and c.inductive == "strict"
    seen = dataset.observed_view() if strict else dataset
    found = cosine_influence(
        seen.csr.to(device),
        seen.dense_features().to(device),
        hops=c.hops,
        normalization=c.normalization,
        self_loop_weight=config.propagation.self_loop_weight,
        algorithm=c.algorithm,
        num_columns=None if observed is None or strict else len(observed),
    )
    if not strict:
        return found
    scores = torch.full((dataset.num_nodes,), torch.nan, device=device)
    scores[observed] = found.scores
    return replace(found, scores=scores)


def student_inputs(config: Config, dataset: NodeDataset, device: torch.device, **_) -> Tensor:
    """X~, `[N, D]`. Inductive: observed nodes see the observed graph, the others all of it."""

    def propagated(data: NodeDataset) -> Tensor:
        p = config.propagation
        return propagate_features(
            data.csr.to(device),
            data.dense_features().to(device),
            hops=p.hops,
            pooling=p.pooling,
            self_loop_weight=p.self_loop_weight,
        )

    inputs = propagated(dataset)
    if dataset.parts.observed is not None:
        inputs[dataset.parts.observed] = propagated(dataset.observed_view())
    return inputs


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
