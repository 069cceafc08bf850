"""`benchmark train`: epochs of teachers and student, and one seed from the graph to the student.

An epoch is the training loop's own: training step, evaluation, and the best weights kept.
"""

import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from ..config.schema import Config
from ..data import NodeDataset, with_split
from ..experiment import train as pipeline
from ..present.console import Reporter
from ..propagation.inputs import student_inputs
from ..registry import teachers as registered
from ..system.memory import Budget
from ..system.runtime import Runtime
from ..training.loop import OnEpoch
from ..training.student import train_student
from ..training.teacher import train_teacher
from . import teachers
from .harness import Contender, Row

EPOCHS = 3  # per call; the first, which meets cold memory, is not counted
UNLIMITED = Budget(1 << 62, 1 << 62)  # teachers take the full graph, never samples
NOTE = (
    "seconds per epoch (step, evaluation, best weights kept); seed: influence, propagation, "
    "teacher and student of one seed, at most as many epochs as size says"
)


def size(config: Config) -> Row:
    t = config.teacher
    return {"layers": t.layers, "hidden": t.hidden, "seed_epochs": config.train.epochs}


def contenders(config: Config, dataset: NodeDataset, device: torch.device) -> list[Contender]:
    seed = config.train.seeds[0]
    view = with_split(dataset, config.data, seed).observed_view()
    short = config.replace("train", epochs=EPOCHS, patience=EPOCHS)
    found = []
    t = config.teacher
    outputs = t.hidden * (t.layers - 1) + view.num_classes
    for teacher in registered.in_order():
        for backend in teachers.BACKENDS:
            chosen = teachers.configured(short, teacher.name, backend)

            def teach(on_epoch: OnEpoch, chosen: Config = chosen) -> None:
                train_teacher(chosen, view, Runtime(device, UNLIMITED), seed, on_epoch)

            found.append(
                Contender(
                    f"{teacher.name}_{backend}",
                    partial(epochs, teach),
                    needs=4 * view.num_nodes * (view.num_features + teacher.floats * outputs),
                    missing=teachers.missing(backend, device),
                    columns={"epochs": 1},
                    laps=True,
                )
            )

    def student() -> Callable[[], list[float]]:
        # What it learns from does not matter to the time.
        rng = torch.Generator().manual_seed(seed)
        runtime = Runtime.on(device, config.resources)
        inputs = student_inputs(config, view, runtime)
        influence = torch.rand(view.num_nodes, generator=rng).to(device)
        logits = torch.randn(view.num_nodes, view.num_classes, generator=rng)
        given = view, inputs, influence, logits
        return epochs(partial(train_student, short, *given, runtime, seed))

    inputs = 4 * view.num_nodes * view.num_features
    found.append(
        Contender(
            "student", student, needs=2 * inputs, holds=inputs, columns={"epochs": 1}, laps=True
        )
    )
    whole = config.replace("train", seeds=[seed], device=device.type, baselines=[])
    columns = {"epochs": config.train.epochs}  # it takes what memory there is
    found.append(Contender("seed", lambda: partial(end_to_end, whole), columns=columns, laps=True))
    return found


def epochs(train: Callable[[OnEpoch], object]) -> Callable[[], list[float]]:
    """Seconds of each epoch of a short training but the first."""

    def run() -> list[float]:
        ends: list[float] = []

        def on_epoch(epoch: int, values: Mapping[str, float]) -> None:
            ends.append(time.perf_counter())  # the losses were read: the GPU has finished

        train(on_epoch)
        return [end - start for start, end in pairwise(ends)]

    return run


def end_to_end(config: Config) -> list[float]:
    """Seconds of one seed by the pipeline's own clock: all that makes the student, from the graph
    in memory on; not the loading, nor the timing of the finished models."""
    with tempfile.TemporaryDirectory() as folder:
        metrics = pipeline.train(config, Path(folder) / "run", overwrite=False, report=_Silent())
    seconds: dict[str, Any] = metrics["seconds"]
    once, per_seed = ("influence", "propagate"), ("teacher", "student")
    return [sum(seconds[k] for k in once) + sum(seconds[k][0] for k in per_seed)]


class _Silent(Reporter):
    def __init__(self) -> None:
        super().__init__(quiet=True)

    def warn(self, text: str) -> None:
        """A short training says little about its scores and its student."""
