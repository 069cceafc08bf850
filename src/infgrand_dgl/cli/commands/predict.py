"""`infgrand-dgl predict`"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .. import options
from ..command import Command

if TYPE_CHECKING:
    import numpy as np


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    options.student(parser)
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument(
        "--propagated",
        type=Path,
        metavar="X.npy",
        help="propagated features [n, D] of your own (default: the run's)",
    )
    rows.add_argument("--nodes", type=Path, metavar="IDS.npy", help="node ids [n] (default: all)")
    options.out(parser, "predictions.npy")
    add("--probabilities", action="store_true", help="float32 [n, C] instead of classes or labels")


def run(args: argparse.Namespace) -> None:
    from ...errors import InputError
    from ...experiment.directory import RunDirectory
    from ...serving import has_labels, likeliest, load_classes, load_task, predict, rows_of
    from ...system.arrays import load_array
    from ...system.writing import check_writable, save_array

    run = RunDirectory.open(args.run)
    seed = run.best_seed() if args.seed is None else args.seed
    student, file = run.student(seed), run.weights(seed, "student")
    classes, task = load_classes(file), load_task(file)
    if task == "regression" and args.probabilities:
        raise InputError("--probabilities: a regression has none; without it numbers are written")
    check_writable(args.out)
    if args.propagated is not None:
        inputs = load_array(args.propagated)
    else:
        inputs = run.propagated(seed)
        if args.nodes is not None:
            inputs = rows_of(inputs, load_array(args.nodes), f"--nodes {args.nodes}")
    outputs = predict(student, inputs, task)
    if args.probabilities or task == "regression":
        result = outputs.numpy()
    else:
        result = likeliest(outputs, classes) if task == "classification" else has_labels(outputs)
    save_array(args.out, result)
    if not args.quiet:
        if task == "multilabel" and not args.probabilities:
            print(f"nodes by label, one column each: {_counts(result, classes)}")
        elif result.ndim == 2 and classes is not None:
            print(f"columns: {', '.join(map(str, classes))}")
        print(f"student of seed {seed}: {len(result):,} nodes; wrote {args.out}")


def _counts(labels: np.ndarray, names: np.ndarray | None) -> str:
    """How many nodes have each label, `[n, C]`; those of numbers alone go by their number."""
    counts = labels.sum(axis=0, dtype=int)
    named = range(len(counts)) if names is None else names
    return ", ".join(f"{name}: {n:,}" for name, n in zip(named, counts, strict=True))


command = Command(
    "classes, labels, their probabilities, or numbers, from a run's student; no graph is touched",
    "infgrand-dgl predict --run runs/cora --nodes ids.npy --out classes.npy",
    run,
    (options.quiet,),
    add_arguments,
    place=4,
)
