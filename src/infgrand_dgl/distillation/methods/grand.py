r"""GRAND (Feng et al., NeurIPS 2020: Graph Random Neural Networks): no teacher.

$$L = \frac{1}{S} \sum_s \mathrm{mean_L}(CE(p_s)) + \mu\,L_c$$

with $p_s$ the student's probabilities on the random view s (`propagation.random`), and $L_c$ of
equation 7 (`consistency`): $\lambda = 1$ of the whole loss (`objective.distilling`).

Where paper and code (THUDM/GRAND) differ, or we from both:

- The paper's DropNode scales what it keeps by $1/(1 - \delta)$; the code does not, and multiplies
  the features by $1 - \delta$ when it serves. We follow the code.
- The code ends training by validation loss or accuracy and keeps the epoch of the least loss; here
  as everywhere that of the best `train.metric`.
- The code draws masks in each epoch, which is one step there; so do we, also where an epoch has
  several, or of stored views (`random_propagation.stored`).
- With `student.norm: batch` (Pubmed) the code normalizes the features too, and each view by itself;
  here the hidden layers are, all views of a step as one batch (each by itself with
  `propagation.of: products`).
- The code draws weights from ±1/√(units), here they are those of torch's linear layers.
"""

import torch

from ...registry import WINE, Method, methods
from ..objective import Lesson, Objective, distilling


def grand(lesson: Lesson) -> Objective:
    r"""$\mathrm{mean}_s\,\mathrm{mean_L}(CE) + \mu\,L_c$."""
    none = torch.zeros(lesson.view.num_nodes)
    return distilling(lesson, None, none, 1.0, 0.0, augmented=True)


methods.add(
    Method(
        "grand",
        label="GRAND",
        color=WINE,
        marker=">",
        place=7,
        objective=grand,
        needs_teacher=False,
        propagated=True,
        settings=frozenset(),
        sections=("random_propagation", "consistency"),
        tasks=("classification", "multilabel"),
    )
)
