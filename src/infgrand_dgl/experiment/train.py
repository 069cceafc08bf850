"""An experiment as a recipe: load → influence → propagate → teach → distil → evaluate → write.

What is finished, with the same inputs, is taken from the run directory; a training goes on from
its checkpoint (`--resume`, and `--overwrite` without `--fresh`). Each step is in `steps`.
"""

import time
from collections.abc import Mapping
from pathlib import Path

from ..config import Config
from ..data import NodeDataset, load_source, with_split
from ..data.dataset import describe
from ..data.node_ids import FILE as IDS
from ..data.scaling import unlike_scales
from ..errors import InputError
from ..present.console import Reporter
from ..present.notes import release_notes
from ..registry import measures, methods
from ..system.memory import Budget
from ..system.ranks import joined
from ..system.runtime import Runtime, resolve_device
from ..system.writing import save_array
from ..training.metrics import recorded
from ..training.settings import for_task
from .card import card_of_run
from .directory import (
    CARD,
    RunDirectory,
    check_settings,
    is_complete,
    is_damaged,
    shared_run,
)
from .fitting import Metrics, Outcome
from .metrics import metrics_of
from .steps import Experiment, Steps


def train(
    config: Config,
    out: Path,
    *,
    students: Mapping[str, Config] | None = None,
    overwrite: bool = False,
    resume: bool = False,
    fresh: bool = False,
    figures: bool = True,
    report: Reporter,
) -> Metrics:
    """Runs an experiment over all its seeds into the run directory `out`; returns its metrics.

    Every process of a torchrun calls it; the first one writes. `out` must then lie on a file
    system that all of them see. For the other flags see `directory.new_run`.

    Args:
        students: of the one teacher, by name; they differ from `config` in how they are trained.
            By default "student", which is `config`'s own, and `train.baselines`.
        figures: drawn into the run.
    """
    device = resolve_device(config.train.device)
    if config.distillation.loss == "apply_edges" and device.type != "cpu":
        raise InputError(
            "distillation.loss: apply_edges runs on the CPU; on a GPU take collapsed or edge_kl"
        )
    if students is None:
        students = {m: config.baseline(m) for m in config.train.baselines} | {"student": config}
    with joined(device) as ranks:
        out = ranks.tell(out)
        there = ranks.tell(resume and is_complete(out))
        if there and ranks.tell(is_damaged(out)):
            overwrite = True  # its stages are reused
        elif there:
            check_settings(out, config)
            report.line(f"{out} is whole: nothing to resume")
            return RunDirectory(out).metrics
        with shared_run(ranks, out, overwrite, resume, fresh) as run:
            if ranks.first:
                run.write_text("config.yaml", config.to_yaml())
            runtime = Runtime(device, Budget.of(config.resources), run.scratch, ranks)
            return all_seeds(config, students, run, runtime, report, figures)


def all_seeds(
    config: Config,
    students: Mapping[str, Config],
    run: RunDirectory,
    runtime: Runtime,
    report: Reporter,
    figures: bool,
) -> Metrics:
    """Load, train the models of every seed, write."""
    start = time.perf_counter()
    source = load_source(config.data)
    seconds = {"load": time.perf_counter() - start, "influence": 0.0, "propagate": 0.0}
    report.line(describe(source))
    config, students = _for_task(config, students, source)
    if runtime.ranks.first:
        run.write_text("config.yaml", config.to_yaml())
        (run.path / IDS).unlink(missing_ok=True)
        if source.ids is not None:
            save_array(run.path / IDS, source.ids)
    if hint := None if config.data.standardize else unlike_scales(source.matrix):
        report.line(hint)
    for seed in config.train.seeds:  # before hours of training: may it, by its split
        with_split(source, config.data, seed)
    release_notes()

    experiment = Experiment.of(config, students, source, run, runtime, report)
    outcomes = [
        one_seed(experiment, with_split(source, config.data, seed), seed)
        for seed in config.train.seeds
    ]

    seconds |= experiment.artifacts.seconds
    models = ["teacher", *students]
    metrics = metrics_of(config, source, outcomes, models, seconds, runtime.ranks.size)
    if runtime.ranks.first:
        experiment.artifacts.drop_unused(config.train.seeds)
        write(experiment, metrics, figures)
    runtime.ranks.wait()
    return metrics


def _for_task(
    config: Config, students: Mapping[str, Config], source: NodeDataset
) -> tuple[Config, dict[str, Config]]:
    """The experiment and its students', in which nothing is left for the task to say."""
    made = for_task(config, source.task)
    others = {name: c for name, c in students.items() if c is not config}
    told = {name: for_task(c, source.task) for name, c in others.items()}
    return made, {name: told.get(name, made) for name in students}


def one_seed(experiment: Experiment, dataset: NodeDataset, seed: int) -> dict[str, Outcome]:
    """The models of one seed, by name.

    Args:
        dataset: with its split of the seed.
    """
    config, students = experiment.config, experiment.students
    steps = Steps(experiment, dataset, seed)
    if config.data.label_choice != "random":
        steps.choose_labels()
    experiment.tell(steps.dataset)

    # Before hours of training, what may fail; first what has files in the run.
    for student in sorted(students.values(), key=lambda each: each is not config):
        early = not measures[student.influence.measure].needs_teacher
        if early and methods[student.method].needs_influence:
            steps.influence(student)
        steps.inputs(student)

    taught = {name for name, c in students.items() if methods[c.method].needs_teacher}
    outcomes = {name: steps.learn(name) for name in students if name not in taught}
    if taught or not students:
        logits, outcomes["teacher"] = steps.teach()
        for name in students:
            if name in taught:
                outcomes[name] = steps.distil(name, logits, outcomes["teacher"])
    return outcomes


def write(experiment: Experiment, metrics: Metrics, figures: bool) -> None:
    """The history under its models' names, the figures, the card, and last the metrics."""
    run, history = experiment.run, experiment.fitting.history
    history.settle(dict(zip(metrics["seeds"], metrics["retrained"], strict=True)))
    if figures:
        draw(experiment, metrics)
    if "student" in metrics:
        run.write_text(CARD, card_of_run(run, metrics))
    run.write_metrics(metrics)


def draw(experiment: Experiment, metrics: Metrics) -> None:
    """Curves of all models, and the influence of the last seed."""
    from ..present.curves import influence_histogram, training_curves  # and Matplotlib: 0.7 s

    run, history = experiment.run, experiment.fitting.history
    if history.rows:  # of reused stages there are none, where their file was damaged
        metric = recorded(metrics)
        curves = run.path / "figures/training_curves.png"
        key, label = f"val_{metric.name}", metric.axis("Validation")
        training_curves(history.rows, curves, key, label, metric.scale)
    if experiment.scores:
        influence_histogram(experiment.scores[-1], run.path / "figures/influence_histogram.png")
