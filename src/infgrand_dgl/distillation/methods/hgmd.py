r"""HGMD (Wu et al., 2024: "Teach Harder, Learn Poorer: Rethinking Hard Sample Distillation for
GNN-to-MLP Knowledge Distillation").

Harder nodes get more of their neighbours as teachers. S is drawn before every epoch e of at most
E: all self-loops, and each edge (i, j) with probability (eq. 7)

$$\pi_{ij} = 1 - \exp\Bigl(-\alpha_e \cos(q_i, q_j)\,\sqrt{H^t_i H^s_i}\,/\,H^t_j\Bigr),\qquad
  \alpha_e = \alpha \cdot 100^{-(e - 1)/(E - 1)}$$

from the entropies H of the teacher's and the student's distributions, each over the largest of all
nodes; the student's are those after the epoch before. In the first epoch S is all edges, and π is
1. The loss is $\lambda\,\mathrm{mean_L}(CE) + (1 - \lambda)\,L_d$:

- `hgmd.variant: mixup` (eq. 10): $L_d = \mathrm{mean}_S\,\mathrm{KL}(u_{ij} \| p_i)$ with
  $u_{ij} = (1 - m)\,q_i + m\,q_j$, $m = \pi_{ij}\,\mathrm{Beta}(\beta, \beta)$ drawn by edge;
- `weight` (eq. 9): $L_d = \mathrm{mean}_S\,w_{ij}\,\mathrm{KL}(q_j \| p_i)$, with w the softmax of
  $\log(\cos(q_i, q_j)\,\pi_{ij})$ over i's edges in S, times their number; π of a self-loop is 1.

In $L_d$ both distributions have the temperature τ, in π and w none. Where paper and code disagree,
this is the code: α decays to a hundredth; the first epoch has all edges. Recorded of `mixup` is
$(1 - m)\,\mathrm{KL}(q_i \| p_i) + m\,\mathrm{KL}(q_j \| p_i)$, which differs from the KL of u by
what no student changes. (The code adds 1e-6 to u where graphs are not citations, for its
logarithm, which we need not take.) An edge's weight is how often it counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ...ops.edge_kl import edge_dot
from ...registry import BLACK, Method, methods
from ..objective import Lesson, Objective, Rows, distilling
from ..sampled import EdgeTargets, entropies

NO_ENTROPY = 1e-8  # in the place of what is 0 in float32, as in the code


def hgmd(lesson: Lesson) -> Objective:
    """The loss over the edges of an epoch."""
    h, edges = lesson.config.hgmd, EdgeTargets(lesson)
    graph, device = edges.graph, edges.logits.device
    epochs = lesson.config.student.epochs or lesson.config.train.epochs
    q = torch.nn.functional.normalize(edges.logits.float().softmax(dim=1))
    cosine = edge_dot(graph, q, q)
    del q
    teacher = hardness(edges.logits)

    def renewed(epoch: int, logits_of_rows: Callable[[], Tensor]) -> Rows:
        random, pi = edges.random(epoch), torch.ones_like(cosine)
        if epoch > 1:
            alpha = h.alpha * 100 ** (-(epoch - 1) / max(1, epochs - 1))
            learner = hardness(logits_of_rows().to(device))
            harder = (alpha * (teacher * learner).sqrt()).float().index_select(0, edges.rows)
            easier = teacher.float().index_select(0, graph.indices)
            pi = -torch.expm1(-cosine * harder / easier)
            del harder, easier
        chosen = edges.sampled(pi, random)
        pi[edges.loops] = 1.0
        total = chosen.sum()
        if h.variant == "mixup":
            drawn = torch.from_numpy(random.beta(h.beta, h.beta, len(pi))).float()
            return edges.of(mixed(edges, chosen, pi * drawn.to(device)) / total)
        return edges.of(weighted(edges, chosen, cosine * pi) / total)

    return replace(distilling(lesson, edges.loss, edges.uniform, 1.0, 0.0), renewed=renewed)


def hardness(logits: Tensor) -> Tensor:
    """Entropies over the largest one, float64 `[N]`, of logits `[N, C]`."""
    H = entropies(logits)
    H = H / H.max().clamp(min=torch.finfo(H.dtype).tiny)
    return H.masked_fill(H.float() == 0, NO_ENTROPY)  # which π is made in


def mixed(edges: EdgeTargets, chosen: Tensor, m: Tensor) -> Tensor:
    r"""Values v with $\sum_j v_{ij} q_j = \sum_j c_{ij}\,((1 - m_{ij})\,q_i + m_{ij}\,q_j)$: what a
    row keeps for itself is its self-loop's. All `[E]`."""
    values = chosen * m
    values[edges.loops] = 0.0
    values[edges.loops] = edges.row_sums(chosen - values)
    return values


def weighted(edges: EdgeTargets, chosen: Tensor, x: Tensor) -> Tensor:
    r"""$c_{ij}\,x_{ij}\,\sum_j c_{ij} / \sum_j c_{ij} x_{ij}$, all `[E]`: a softmax of log x over
    the row's chosen edges, times their number."""
    values = chosen * x
    scale = edges.row_sums(chosen) / edges.row_sums(values)
    return values * scale.index_select(0, edges.rows)


methods.add(
    Method(
        "hgmd",
        label="HGMD",
        color=BLACK,
        marker="<",
        place=5,
        objective=hgmd,
        settings=frozenset({"lambda_", "tau"}),
        sections=("hgmd",),
    )
)
