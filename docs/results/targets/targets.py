"""What else a recipe's student could learn from, scored as `tune` scores: by one half of the
validation nodes, while the other chooses the epoch. A line of JSON for each student.

python targets.py best/cora 2022 2023 > cora.jsonl
"""

import json
import sys
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from infgrand_dgl.config import load_config
from infgrand_dgl.data import load_source, with_split
from infgrand_dgl.data.splits import for_choosing
from infgrand_dgl.distillation.loss import DistillationLoss
from infgrand_dgl.distillation.methods import infgrand
from infgrand_dgl.influence.compute import influence
from infgrand_dgl.ops import spmm
from infgrand_dgl.propagation.inputs import student_inputs
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training.settings import for_task
from infgrand_dgl.training.student import train_student
from infgrand_dgl.training.teacher import teacher_logits, train_teacher

CPU = Runtime.on("cpu")
distillation_loss = infgrand.distillation_loss


def log_mean(*logits: Tensor) -> Tensor:
    """Logits of the mean distribution."""
    return torch.stack([z.softmax(1) for z in logits]).mean(0).clamp(min=1e-12).log()


def surest(share: float, lesson: Any, csr: Any, scores: Tensor, **s: Any) -> DistillationLoss:
    """L_d without the edges that come from the teacher's most uncertain nodes."""
    made = distillation_loss(lesson, csr, scores, **s)
    q = lesson.logits.softmax(1)
    entropy = -(q * q.clamp(min=1e-12).log()).sum(1)
    c = (s["gamma1"] + s["gamma2"] * scores) * (entropy <= entropy.quantile(share))
    assert s["edge_weighting"] == "edges" and s["kl"] == "forward"
    r = torch.full((csr.num_rows,), 1 / csr.num_edges)
    made.targets.copy_(spmm(csr, (lesson.logits / made.tau).softmax(1), r, c))
    made.own.zero_()  # which no student changes
    return made


def students(config: Any, data: Any, seed: int) -> dict[str, Callable[[], Tensor]]:
    """The logits of all nodes, by what the student learnt from."""
    view, observed = data.observed_view(), data.parts.observed
    scores, x, csr = (
        influence(config, data, CPU).scores,
        student_inputs(config, data, CPU),
        view.csr,
    )

    def seen(values: Tensor) -> Tensor:
        return values if observed is None else values[observed]

    @cache
    def teacher(k: int) -> Tensor:
        model = train_teacher(config, view, CPU, seed + 1000 * k, lambda *_: None)
        return teacher_logits(model, data, CPU)

    def student(logits: Tensor, loss: Any = distillation_loss) -> Tensor:
        infgrand.distillation_loss = loss
        given = seen(x), seen(scores), seen(logits), CPU, seed, lambda *_: None
        model = train_student(config, view, *given).eval()
        with torch.no_grad():
            return model(x)

    def further(hops: int) -> Tensor:
        q, ones = seen(teacher(0)).softmax(1), torch.ones(csr.num_rows)
        for _ in range(hops):
            q = spmm(csr, q, 1 / csr.row_sums.clamp(min=1).float(), ones)
        whole = teacher(0).softmax(1)
        whole[slice(None) if observed is None else observed] = q
        return whole.clamp(min=1e-12).log()

    recipe = cache(lambda: student(teacher(0)))
    return {
        "teacher": lambda: teacher(0),
        "recipe": recipe,
        "three teachers": lambda: student(log_mean(*map(teacher, range(3)))),
        "targets one hop further": lambda: student(further(1)),
        "targets two hops further": lambda: student(further(2)),
        "the surer 75 %": lambda: student(teacher(0), partial(surest, 0.75)),
        "the surer 50 %": lambda: student(teacher(0), partial(surest, 0.5)),
        "teacher and student": lambda: student(log_mean(teacher(0), recipe())),
        "student": lambda: student(recipe()),
    }


def main(experiment: str, *seeds: str) -> None:
    base = load_config(experiment, ["data.root=data", "teacher.hidden=128"])
    source = load_source(base.data)
    for setting in ("transductive", "inductive"):
        config = for_task(base.replace("data", setting=setting), source.task)
        for seed in map(int, seeds):
            data = for_choosing(with_split(source, config.data, seed), config.data, seed)
            for name, logits in students(config, data, seed).items():
                right = logits()[data.test].argmax(1) == data.labels[data.test]
                row = {"setting": setting, "seed": seed, "learns from": name}
                print(json.dumps(row | {"accuracy": float(right.double().mean())}), flush=True)


main(*sys.argv[1:])
