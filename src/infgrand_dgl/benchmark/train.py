"""`benchmark train`: epochs of teachers and student, and one seed from the graph to the student.

The student is timed as the experiment has it, and on random views with consistency, with features
propagated or products; beside it stands what one view costs.

An epoch is one of the training loop: training step, evaluation, and the best weights kept.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config.schema import Config
from ..data import NodeDataset, with_split
from ..experiment.train import train
from ..graph.csr import CSRGraph
from ..ops import propagate
from ..present.console import Silent
from ..propagation.inputs import student_inputs
from ..propagation.products import inside
from ..propagation.random import node_mask
from ..registry import teachers
from ..system.kept import kept
from ..system.memory import Budget
from ..system.runtime import Runtime
from ..training.graphed import WARM_UP
from ..training.loop import OnEpoch
from ..training.student import train_student
from ..training.teacher import train_teacher
from . import pyg
from .backends import BACKENDS, missing
from .harness import Contender

EPOCHS = 2  # that are counted, of a call
# Before them: one that meets cold memory; on a GPU those before an epoch is replayed (`graphed`).
UNCOUNTED = {"cpu": 1, "cuda": WARM_UP + 1}
MASK, VIEWS = 0.5, 2  # of random propagation
UNLIMITED = Budget(1 << 62, 1 << 62)  # teachers take the full graph, never samples


def contenders(config: Config, dataset: NodeDataset, device: torch.device) -> list[Contender]:
    seed = config.train.seeds[0]
    view = with_split(dataset, config.data, seed).observed_view()
    count = EPOCHS + UNCOUNTED[device.type]
    short = config.replace("train", epochs=count, patience=count)
    one_seed = config.replace("train", seeds=[seed], device=device.type, baselines=[])
    return [
        *_teachers(short, view, device, seed),
        *_students(short, view, device, seed),
        *_views(config, view, device),
        Contender(  # it takes what memory there is
            "seed",
            lambda: partial(end_to_end, one_seed),
            columns={"epochs": config.train.epochs},
            laps=True,
        ),
    ]


def _students(
    config: Config, view: NodeDataset, device: torch.device, seed: int
) -> Iterator[Contender]:
    """As the experiment has it, and on random views; both by the features and by products, where
    it can have them."""
    matrix = 4 * view.num_nodes * view.num_features  # bytes
    ways = {"student": (config, 2, 1)}
    if not config.in_products:
        ways["student_products"] = inside(config), 2, 2
    if not config.student.reads_hops:
        made = augmented(config)
        ways["student_random"] = made, 2 + 4 * VIEWS, 1 + VIEWS
        ways["student_random_products"] = inside(made), 2 + VIEWS, 2
    for name, (its, needs, holds) in ways.items():
        if its.in_products or not name.endswith("products"):
            yield Contender(
                name,
                partial(_student, its, view, device, seed),
                needs=needs * matrix,
                holds=holds * matrix,
                columns={"epochs": 1},
                laps=True,
            )


def augmented(config: Config) -> Config:
    """The student on random views of the features, made for every epoch, and with consistency."""
    made = config.replace("propagation", of="features").replace(method="infgrand")
    made = made.replace("student", features="propagated").replace("consistency", weight=1.0)
    return made.replace("random_propagation", mask=MASK, views=VIEWS, stored=0)


def _views(config: Config, view: NodeDataset, device: torch.device) -> Iterator[Contender]:
    """One random view: features read through the mask, or masked before."""
    p, matrix = config.propagation, 4 * view.num_nodes * view.num_features
    settings: dict[str, Any] = {
        "hops": p.hops,
        "pooling": p.pooling,
        "self_loop_weight": p.self_loop_weight,
    }

    def prepare(run: Callable[..., Tensor]) -> Callable[[], Tensor]:
        csr, x = kept(view.csr, device), view.dense_features(device)
        mask = node_mask(view.num_nodes, MASK, config.train.seeds[0], 0).to(device)
        return lambda: run(csr, x, mask=mask)

    def masked_first(csr: CSRGraph, x: Tensor, mask: Tensor) -> Tensor:
        return propagate(csr, mask.to(x.dtype)[:, None] * x, **settings)

    for name, run in (
        ("view_fused", partial(propagate, **settings)),
        ("view_masked_first", masked_first),
    ):
        yield Contender(
            name,
            partial(prepare, run),
            needs=5 * matrix,
            holds=matrix,
            columns={"views": 1},
        )


def _teachers(
    config: Config, view: NodeDataset, device: torch.device, seed: int
) -> Iterator[Contender]:
    """Each teacher on each backend, and on PyTorch Geometric."""
    t, runtime = config.teacher, Runtime(device, UNLIMITED)
    outputs = t.hidden * (t.layers - 1) + view.num_classes

    def contender(
        name: str, teach: Callable[[OnEpoch], object], needs: int, absent: str
    ) -> Contender:
        return Contender(
            name,
            partial(epochs, teach),
            needs=needs,
            missing=absent,
            columns={"epochs": 1},
            laps=True,
        )

    for teacher in teachers.in_order():
        needs = 4 * view.num_nodes * (view.num_features + teacher.floats * outputs)
        for backend in BACKENDS:
            chosen = config.replace("teacher", model=teacher.name, backend=backend)
            teach = partial(train_teacher, chosen, view, runtime, seed)
            yield contender(f"{teacher.name}_{backend}", teach, needs, missing(backend, device))
        for form in pyg.FORMS.get(teacher.name, ()):
            chosen = config.replace("teacher", model=teacher.name)
            teach = partial(pyg.train, chosen, view, runtime, seed, form)
            messages = pyg.message_bytes(view.csr, t.hidden, form)
            absent = pyg.missing(teacher.name, view.csr)
            yield contender(f"{teacher.name}_pyg_{form}", teach, needs + messages, absent)


def _student(
    config: Config, view: NodeDataset, device: torch.device, seed: int
) -> Callable[[], list[float]]:
    """What it learns from does not matter to the time."""
    rng = torch.Generator().manual_seed(seed)
    runtime = Runtime.on(device, config.resources)
    inputs = student_inputs(config, view, runtime)
    influence = torch.rand(view.num_nodes, generator=rng).to(device)
    logits = torch.randn(view.num_nodes, view.num_classes, generator=rng)
    return epochs(partial(train_student, config, view, inputs, influence, logits, runtime, seed))


def epochs(training: Callable[[OnEpoch], object]) -> Callable[[], list[float]]:
    """Seconds of each of the last `EPOCHS` epochs of a short training."""

    def run() -> list[float]:
        ends: list[float] = []

        def on_epoch(epoch: int, values: Mapping[str, float]) -> None:
            ends.append(time.perf_counter())  # the losses were read: the GPU has finished

        training(on_epoch)
        return [end - start for start, end in pairwise(ends)][-EPOCHS:]

    return run


def end_to_end(config: Config) -> list[float]:
    """Seconds of one seed by the experiment's clock: all that makes the student, from the graph
    in memory on; not the loading, nor the timing of the finished models."""
    with tempfile.TemporaryDirectory() as folder:
        metrics = train(config, Path(folder) / "run", overwrite=False, report=Silent())
    seconds: dict[str, Any] = metrics["seconds"]
    once, per_seed = ("influence", "propagate"), ("teacher", "student")
    return [sum(seconds[k] for k in once) + sum(seconds[k][0] for k in per_seed if k in seconds)]
