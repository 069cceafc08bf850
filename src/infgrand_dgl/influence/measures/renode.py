"""Topology imbalance: ReNode (Chen et al., NeurIPS 2021)."""

from math import pi

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ...registry import Measure, measures
from ..measure import Inputs
from ..personalized import personalized

LEAST, SPAN = 0.5, 1.0  # w_min and w_max - w_min of the paper's code


def renode(inputs: Inputs) -> Tensor:
    r"""$w = \tfrac12 + \tfrac12\,(1 + \cos(\pi \cdot \mathrm{rank} / (n_L - 1)))$ of the rank,
    ascending, of `conflict` among the $n_L$ labelled nodes; float64 `[N]`, from 1.5 to 0.5.

    The paper has it for the cross-entropy of labelled nodes (its equations 2 to 4). The rank is the
    number of labelled nodes with less conflict: equal ones weigh alike, where the code has them in
    the order of their ids. Others have the teacher's soft label in place of their own, and the rank
    that they would take.

    The weights are the paper's, and so `influence.normalization` has no part in them.
    """
    assert inputs.labels is not None
    train = (inputs.labels >= 0).nonzero()[:, 0]
    T = conflict(inputs)
    ordered = T[train].sort().values
    rank = torch.searchsorted(ordered, T).clamp_(max=len(train) - 1)
    return LEAST + SPAN / 2 * (1 + torch.cos(pi * rank.double() / max(1, len(train) - 1)))


def conflict(inputs: Inputs) -> Tensor:
    r"""$T_v = \sum_x \Pi_{vx} \sum_{c \neq y_v} \mathrm{mean}_{l \in L_c} \Pi_{lx}$, float64 `[N]`;
    of nodes without a label its mean over the teacher's classes, $c \sim q_v$.

    With $M = \Pi B$, $B$ the classes of the labelled nodes over their numbers, `[N, C]`, it is the
    sum of the row v of $\Pi M$ but for class $y_v$: two products. A class without labels has no
    part in it.
    """
    labels, logits = inputs.labels, inputs.logits
    assert labels is not None and logits is not None
    C, known = logits.shape[1], labels >= 0
    own = one_hot(labels.clamp(min=0), C).double() * known[:, None]
    means = personalized(inputs, own / own.sum(dim=0).clamp(min=1))
    of_classes = personalized(inputs, means)
    q = torch.where(known[:, None], own, logits.double().softmax(dim=1))
    return of_classes.sum(dim=1) - torch.linalg.vecdot(q, of_classes)


measures.add(
    Measure(
        "renode",
        label="ReNode",
        place=10,
        scores=renode,
        needs_teacher=True,
        needs_labels=True,
        normalized=True,
        tasks=("classification",),
    )
)
