r"""NOSMOG (Tian et al., ICLR 2023): positions, similarity of hidden states, adversarial inputs.

The student reads $x_i \| p_i$, $p$ of `propagation.positions`, and minimises (paper: equations 2
to 7; its $\lambda$ weighs the other term: the published $\lambda = 1$ is `distillation.lambda: 0`)

$$L = \lambda\,\mathcal L(L, CE) + (1 - \lambda)\,\mathcal L(V, KL),\quad
  \mathcal L(S, \ell) = \mathrm{mean}_S\,\ell(x) + \eta\,\mathrm{mean}_S\,\ell(x + \delta)
  + \omega\,\mathrm{mean}_{i,j \in S}
  (\langle t_i, t_j \rangle - \langle g(h_i), g(h_j) \rangle)^2$$

with the labelled nodes $L$, all nodes $V$, $\mathrm{KL}(\sigma(h^t_i/\tau) \| \sigma(h^s_i/\tau))$,
$\eta$ = `nosmog.adversarial`, $\omega$ = `nosmog.similarity`; $t$ is the teacher's hidden state,
$h$ the student's before its norm and ReLU, $g = \mathrm{dropout}(\mathrm{ReLU}(W h + b))$ is
trained beside, and $\delta$ is `adversary`'s.

Where paper and code disagree, or the code is more exact:

- $g$ is the student's alone. (The code has one for the teacher too, which it never calls; trained,
  it could make both sides 0.)
- The code takes a step of the optimizer for each of the two losses, one after the other, with a
  $\delta$ for each. Here they are one loss, whose $\delta$ ascends it. At the published $\lambda$
  only the second is left. (In the code the first then still decays the weights.)
- $t$ is what the teacher's last layer reads. The code's is that of its GCN and GAT too, of
  GraphSAGE it is what comes before norm and ReLU.
- Pairs are those of a step, and of several processes those of one process's share of it: the mean
  over all pairs in a full step of one process, elsewhere the mean of the steps' means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ...nn.dropout import Dropout
from ...registry import TEAL, Method, methods
from ..objective import Lesson, Objective, Rows, Student
from .glnn import glnn


def nosmog(lesson: Lesson) -> Objective:
    """Equation 7; GLNN's are its base losses."""
    n, lambda_ = lesson.config.nosmog, lesson.config.distillation.lambda_
    base = glnn(lesson)
    rows: Rows = {}
    count, labelled = lesson.view.num_nodes, len(lesson.view.train)
    projection: Projection | None = None
    if n.similarity:
        assert lesson.hidden is not None
        projection, rows = Projection(lesson), {"hidden": lesson.hidden}

    def of_logits(logits: Tensor, batch: Rows) -> dict[str, Tensor]:
        said = Student(lambda _: logits, lambda _: logits)
        return base.losses(said, batch)

    def similarity(h: Tensor, batch: Rows) -> Tensor:
        """The mean over pairs, each of the two by the share of its nodes that the batch has."""
        assert projection is not None
        t, s = batch["hidden"].float(), projection(h)
        known = (batch["labels"] >= 0).to(t.dtype)[:, None]
        everywhere = pairs(t, s) / (count * len(t))
        if lambda_ == 0:
            return everywhere
        among = pairs(known * t, known * s) / (labelled * known.sum().clamp(min=1))
        return lambda_ * among + (1 - lambda_) * everywhere

    def losses(student: Student, batch: Rows) -> dict[str, Tensor]:
        logits, h = student(batch["x"], hidden=True)
        found = of_logits(logits, batch)
        total = found["loss"]
        if n.adversarial:
            x = _dense(batch["x"])

            def ascended(x: Tensor) -> Tensor:
                return of_logits(student.alone(x), batch)["loss"]

            delta = adversary(ascended, x, n.epsilon, n.steps)
            total = total + n.adversarial * of_logits(student(x + delta), batch)["loss"]
        if n.similarity:
            total = total + n.similarity * similarity(h, batch)
        return found | {"loss": total}

    copies = 5 if n.adversarial else 0  # x, x + δ, δ, its gradient and what it becomes
    return Objective(
        base.rows | rows,
        losses,
        all_at_once=base.all_at_once,
        module=projection,
        copies=copies,
    )


class Projection(nn.Module):
    """g, of the student's hidden states `[b, H]`; its weights are drawn by the lesson's seed."""

    def __init__(self, lesson: Lesson) -> None:
        super().__init__()
        s = lesson.config.student
        width = s.hidden if s.layers > 1 else lesson.view.num_classes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(lesson.seed + (1 << 32))  # no student's
            self.linear = nn.Linear(width, width)
        self.dropout = Dropout(s.dropout)

    def forward(self, h: Tensor) -> Tensor:
        return self.dropout(self.linear(h).relu())


def pairs(t: Tensor, s: Tensor) -> Tensor:
    r"""$\sum_{i,j} (\langle t_i, t_j \rangle - \langle s_i, s_j \rangle)^2$ over all pairs of rows.

    As $\|T^\top T\|^2 - 2\|T^\top S\|^2 + \|S^\top S\|^2$: no matrix of pairs is made, O(b·H²).

    Args:
        t, s: `[b, H]`, `[b, K]`.
    """
    return (t.T @ t).square().sum() - 2 * (t.T @ s).square().sum() + (s.T @ s).square().sum()


def adversary(loss: Callable[[Tensor], Tensor], x: Tensor, epsilon: float, steps: int) -> Tensor:
    r"""$\delta$, `[b, D]`, $\|\delta\|_\infty \le \epsilon$, that ascends the loss of $x + \delta$.

    Projected gradient ascent (PGD: Madry et al., ICLR 2018) from a uniform start, by
    $\epsilon/4$ along the gradient's sign in each step. No gradient of anything else is touched.

    Args:
        loss: of inputs `[b, D]`.
        x: floating point, `[b, D]`.
    """
    delta = (2 * torch.rand_like(x) - 1) * epsilon
    for _ in range(steps):
        delta.requires_grad_()
        (gradient,) = torch.autograd.grad(loss(x + delta), delta)
        delta = (delta.detach() + epsilon / 4 * gradient.sign()).clamp_(-epsilon, epsilon)
    return delta


def _dense(x: Any) -> Tensor:
    return (x if isinstance(x, Tensor) else x.to_dense()).float()


methods.add(
    Method(
        "nosmog",
        label="NOSMOG",
        color=TEAL,
        marker="h",
        place=6,
        objective=nosmog,
        settings=frozenset({"lambda_", "tau", "loss"}),
        sections=("nosmog",),
        teacher=frozenset({"hidden"}),
        positions=True,
    )
)
