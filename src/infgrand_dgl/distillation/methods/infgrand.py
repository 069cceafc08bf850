"""InfGraND (Eskandari et al., TMLR 2026)."""

from ...registry import ORANGE, TASKS, Method, methods
from ..objective import Lesson, Objective, distillation_loss, distilling


def infgrand(lesson: Lesson) -> Objective:
    r"""$L = \lambda L_s + (1 - \lambda) L_d$ (paper: "The Complete Objective"), and $\mu L_c$ where
    `consistency.weight` is not 0; on random views where `random_propagation` asks for them."""
    d, influence = lesson.config.distillation, lesson.influence
    assert influence is not None
    loss = distillation_loss(
        lesson,
        lesson.view.csr,
        influence,
        gamma1=d.gamma1,
        gamma2=d.gamma2,
        kl=d.kl,
        edge_weighting=d.edge_weighting,
    )
    return distilling(lesson, loss, influence, d.delta1, d.delta2, augmented=True)


methods.add(
    Method(
        "infgrand",
        label="InfGraND",
        color=ORANGE,
        marker="D",
        place=8,
        objective=infgrand,
        needs_influence=True,
        propagated=True,
        sections=("random_propagation", "consistency"),
        tasks=TASKS,
    )
)
