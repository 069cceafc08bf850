"""`infgrand-dgl predict`"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .. import options
from ..command import Command

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ...experiment.directory import RunDirectory


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
    help = "raw features [n, D] of new nodes, N to N + n - 1; with --nodes: of these, instead"
    add("--features", type=Path, metavar="FILE", help=help)
    help = "ids [m, 2]: undirected edges of new nodes with known ones and each other"
    add("--edges", type=Path, metavar="FILE", help=help)
    help = "of new nodes: by stored rows of their neighbours, not by all within P hops"
    add("--cached", action="store_true", help=help)
    options.out(parser, "predictions.npy")
    options.calibrated(parser)
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
    _check_options(args)
    temperature = run.temperature(seed) if args.calibrated else 1.0
    check_writable(args.out)
    if args.features is not None:
        outputs = _joining(args, run, seed)
    elif args.propagated is not None:
        inputs = load_array(args.propagated)
        outputs = predict(student, inputs, task, temperature=temperature)
    else:
        inputs = run.propagated(seed)
        if args.nodes is not None:
            inputs = rows_of(inputs, load_array(args.nodes), f"--nodes {args.nodes}")
        outputs = predict(student, inputs, task, temperature=temperature)
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


def _check_options(args: argparse.Namespace) -> None:
    from ...errors import InputError

    if args.calibrated and not args.probabilities:
        raise InputError("--calibrated: only with --probabilities; the likeliest class is the same")
    for option, given in (("--edges", args.edges), ("--cached", args.cached or None)):
        if given is not None and (args.features is None or args.nodes is not None):
            raise InputError(f"{option}: only of new nodes, with --features and without --nodes")
    if args.features is not None and args.propagated is not None:
        raise InputError("--features: raw ones; --propagated has what is made of them: one of both")


def _joining(args: argparse.Namespace, run: RunDirectory, seed: int) -> Tensor:
    """What the student says of new nodes, or of known ones whose features are others."""
    import torch

    from ...data.edge_lists import in_range, read_edges
    from ...data.feature_files import read_features
    from ...data.imported import Options
    from ...errors import InputError
    from ...experiment.predictor import Predictor
    from ...system.arrays import load_array

    predictor, edges, weights = Predictor(run, seed, calibrated=args.calibrated), None, None
    features, ids = read_features(args.features)
    if ids is not None:
        raise InputError(f"--features {args.features}: expected no column of ids, found one")
    if args.nodes is not None:
        return torch.from_numpy(predictor.changed(load_array(args.nodes), features))
    if args.edges is not None:
        try:
            listed = read_edges(args.edges, Options())
        except InputError as error:
            if "unclear" not in str(error):
                raise
            expected = "expected two columns of ids, and where edges have weights one named weight"
            raise InputError(f"--edges {args.edges}: {expected}") from None
        everyone = predictor.num_nodes + features.shape[0]
        edges = in_range(listed, everyone, f"new ones from {predictor.num_nodes}")
        weights = listed.weights
    return torch.from_numpy(predictor.new(features, edges, weights, cached=args.cached))


def _counts(labels: np.ndarray, names: np.ndarray | None) -> str:
    """How many nodes have each label, `[n, C]`; those of numbers alone go by their number."""
    counts = labels.sum(axis=0, dtype=int)
    named = range(len(counts)) if names is None else names
    return ", ".join(f"{name}: {n:,}" for name, n in zip(named, counts, strict=True))


command = Command(
    "classes, labels, their probabilities, or numbers, from a run's student, of new nodes too",
    "infgrand-dgl predict --run runs/cora --nodes ids.npy --out classes.npy\n"
    "infgrand-dgl predict --run runs/cora --features new.npy --edges edges.npy --out classes.npy",
    run,
    (options.quiet,),
    add_arguments,
    place=4,
)
