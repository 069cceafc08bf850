"""Global influence scores of a graph, by any measure, and how much they differ."""

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from ..config import Config
from ..config.fields import Task
from ..errors import InputError, check_choice, check_number
from ..features.convert import given_features
from ..graph.convert import GraphLike, as_csr
from ..propagation.equation import Propagation
from ..registry import measures
from ..system.arrays import first_not_finite
from .cosine import cosine_influence
from .measure import Inputs, Normalization, measured

# Below this coefficient of variation the weights are as good as constant.
FLAT = 0.05


def influence_scores(
    graph: GraphLike,
    features: Tensor | np.ndarray | sp.sparray,
    *,
    hops: int = 2,
    measure: str = "cosine",
    normalization: Normalization = "minmax",
    self_loop_weight: float = 1.0,
    logits: Tensor | None = None,
    mix: float | None = None,
    task: Task = "classification",
    labels: Tensor | None = None,
) -> Tensor:
    r"""Global influence $I_g$ of every node, float32 `[N]`.

    Args:
        graph: an undirected graph: a `DGLGraph`; a `CSRGraph`; edge_index, integers `[2, E]`, with
            both directions; a SciPy or torch sparse matrix `[N, N]`; a NetworkX graph, whose nodes
            are 0 to N - 1, or else numbered in the order of `graph.nodes`; or PyG's `Data`. Edges
            may have weights, all of them positive and the same in both directions: edata `weight`,
            `weights`, `w` or `edge_weight`; an attribute of NetworkX of such a name; PyG's
            `edge_weight`; the values of a matrix, unless they are all alike or could count edges
            (whole, from 1 on). The self-loop that every node gets weighs 1.
        features: $X$, floating point `[N, D]`, dense or sparse CSR; arrays and SciPy matrices
            become float32.
        hops: k of $X^{(k)}$.
        measure: "cosine", the paper's, or another of `registry.measures`.
        normalization: "minmax" (the authors' code) gives $[0, 1]$; "max" (the paper's text)
            divides the sums by the largest and clamps negative ones to 0; "none" returns the sums.
        self_loop_weight: w of the propagation; 1 is the paper's text, 2 the authors' code.
        logits: the teacher's, `[N, C]`; for the measures that need it: "agreement", "entropy",
            "hybrid", "renode".
        mix: "hybrid": the share of the cosine in its mix with the entropy; None: their product.
        task: "classification", "multilabel" or "regression": of which the logits are.
        labels: of the nodes that train, int64 `[N]`, -1 of others (float `[N, C]`, NaN of others,
            where they are no classes); for "label-reach" and "renode".

    Raises:
        InputError: a directed graph or none, weights that are negative or not finite, features of
            another length, NaN or infinite features or logits, an unknown measure or normalization,
            no logits or labels where they are needed, a task that the measure does not have.
    """
    check_choice("measure", measure, list(measures))
    check_choice("normalization", normalization, get_args(Normalization))
    check_choice("task", task, get_args(Task))
    hops = Propagation(hops, self_loop_weight).hops
    if mix is not None:
        check_number("mix", mix, "0 to 1", lambda share: 0 <= share <= 1)
    features = given_features(features)
    chosen, csr = measures[measure], as_csr(graph, features.device, len(features))
    settings: dict[str, Any] = {
        "hops": hops,
        "normalization": normalization,
        "self_loop_weight": self_loop_weight,
    }
    cosine = None
    if chosen.needs_cosine:
        cosine = cosine_influence(csr, features, **settings).scores
    device = csr.indptr.device
    logits, labels = (_given(*each, device) for each in (("logits", logits), ("labels", labels)))
    if chosen.needs_teacher and logits is not None and first_not_finite(logits) is not None:
        raise InputError("logits: expected finite numbers, found NaN or infinity")
    settings |= {"logits": logits, "labels": labels, "cosine": cosine, "mix": mix, "task": task}
    inputs = Inputs(csr, features=features, **settings)
    return measured(chosen, inputs)


def _given(name: str, values: Any, device: torch.device) -> Tensor | None:
    if values is not None and not isinstance(values, Tensor):
        raise InputError(f"{name}: expected a tensor, found {type(values).__name__}")
    return None if values is None else values.to(device)


@dataclass(frozen=True)
class Spread:
    """How much the scores of the nodes that have one differ."""

    min: float
    mean: float
    max: float
    quartiles: tuple[float, float, float]
    coefficient_of_variation: float

    @property
    def flat(self) -> bool:
        """Whether weighting by these scores does next to nothing."""
        return self.coefficient_of_variation < FLAT


def spread(scores: Tensor) -> Spread:
    values = scores[~scores.isnan()].double()
    mean = float(values.mean())
    quantiles = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64, device=values.device)
    ordered = values.sort().values  # torch.quantile stops at 2^24 elements
    q1, q2, q3 = ordered[(quantiles * (len(values) - 1)).round().long()].tolist()
    return Spread(
        min=float(values.min()),
        mean=mean,
        max=float(values.max()),
        quartiles=(q1, q2, q3),
        coefficient_of_variation=float(values.std(correction=0)) / abs(mean) if mean else 0.0,
    )


def flat_warning(config: Config) -> str:
    """What to say when the scores hardly differ (see `Spread.flat`)."""
    other = "" if config.influence.normalization == "max" else "influence.normalization: max or "
    return (
        "the influence scores are almost constant, so gamma2 and delta2 do next to "
        f"nothing; consider {other}another influence.measure"
    )
