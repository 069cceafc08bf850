"""GLNN (Zhang et al., ICLR 2022)."""

import torch

from ...graph import CSRGraph
from ...registry import PINK, TASKS, Method, methods
from ..objective import Lesson, Objective, distillation_loss, distilling


def glnn(lesson: Lesson) -> Objective:
    r"""$\lambda\,\mathrm{mean_L}(CE) + (1 - \lambda)\,
    \mathrm{mean_N}\,\mathrm{KL}(\sigma(h^t_i/\tau) \| \sigma(h^s_i/\tau))$.

    That is the edge-wise loss on a graph of self-loops: every node learns from itself alone.
    """
    N = lesson.view.num_nodes
    loops = CSRGraph(torch.arange(N + 1), torch.arange(N, dtype=torch.int32), N, symmetric=True)
    same = torch.zeros(N)
    loss = distillation_loss(
        lesson, loops, same, gamma1=1.0, gamma2=0.0, kl="forward", edge_weighting="edges"
    )
    return distilling(lesson, loss, same, 1.0, 0.0)


methods.add(
    Method(
        "glnn",
        label="GLNN",
        color=PINK,
        marker="^",
        place=2,
        objective=glnn,
        settings=frozenset({"lambda_", "tau", "loss"}),
        tasks=TASKS,
    )
)
