"""`infgrand-dgl predict`"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .. import options
from ..command import Command

if TYPE_CHECKING:
    from ...serving.tables import Shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    options.student(parser)
    rows = parser.add_mutually_exclusive_group()
    help = "propagated features [n, D] of your own (default: the run's)"
    rows.add_argument("--propagated", type=Path, metavar="FILE", help=help)
    help = "nodes [n], by rows or by the ids of ids.npy (default: all)"
    rows.add_argument("--nodes", type=Path, metavar="FILE", help=help)
    help = "raw features [n, D] of new nodes, N to N + n - 1; with --nodes: of these, instead"
    add("--features", type=Path, metavar="FILE", help=help)
    help = "ids [m, 2]: undirected edges of new nodes with known ones and each other"
    add("--edges", type=Path, metavar="FILE", help=help)
    help = "of new nodes: by stored rows of their neighbours, not by all within P hops"
    add("--cached", action="store_true", help=help)
    options.out(parser, ".npy: an array; .csv or .parquet: a table, with the nodes' ids")
    options.calibrated(parser)
    shown = parser.add_mutually_exclusive_group()
    help = "float32 [n, C] instead of classes or labels"
    shown.add_argument("--probabilities", action="store_true", help=help)
    help = "in a table: the K likeliest classes and their probabilities"
    shown.add_argument("--top", type=options.integer(1, 1 << 16), metavar="K", help=help)


def run(args: argparse.Namespace) -> None:
    import numpy as np

    from ...experiment.answering import of_joining, of_stored
    from ...experiment.directory import RunDirectory
    from ...serving import has_labels, load_classes, load_task
    from ...serving.tables import Shown, writing_answers
    from ...system.writing import check_writable

    run = RunDirectory.open(args.run)
    seed = run.best_seed() if args.seed is None else args.seed
    student, file = run.student(seed), run.weights(seed, "student")
    task, classes, C = load_task(file), load_classes(file), student.shape["classes"]
    nodes, calibrated = args.nodes, args.calibrated
    known = nodes is not None or (args.features is None and args.propagated is None)
    ids = run.ids if known else None
    shown = Shown(task, C, classes, args.probabilities, args.top, ids)
    _check_options(args, shown)
    check_writable(args.out)
    if args.features is None:
        rows = args.propagated
        answers = of_stored(run, seed, propagated=rows, nodes=nodes, calibrated=calibrated)
    else:
        answers = of_joining(
            run,
            seed,
            args.features,
            nodes=nodes,
            edges=args.edges,
            cached=args.cached,
            calibrated=calibrated,
        )
    count, positive = 0, np.zeros(C, int)
    with writing_answers(args.out, shown) as write:
        for ids, said in answers:
            write(ids, said)
            count += len(ids)
            if task == "multilabel":
                positive += has_labels(said).sum(axis=0)
    if not args.quiet:
        if task == "multilabel" and not args.probabilities:
            names = range(C) if classes is None else classes
            counts = ", ".join(f"{n}: {k:,}" for n, k in zip(names, positive, strict=True))
            print(f"nodes by label, one column each: {counts}")
        elif classes is not None and (args.probabilities or task == "regression"):
            print(f"columns: {', '.join(map(str, classes))}")
        print(f"student of seed {seed}: {count:,} nodes; wrote {args.out}")


def _check_options(args: argparse.Namespace, shown: Shown) -> None:
    from ...errors import InputError
    from ...serving.tables import check_shown

    if args.calibrated and not args.probabilities and args.top is None:
        expected = "only with --probabilities or --top; the likeliest class is the same"
        raise InputError(f"--calibrated: {expected}")
    for option, given in (("--edges", args.edges), ("--cached", args.cached or None)):
        if given is not None and (args.features is None or args.nodes is not None):
            raise InputError(f"{option}: only of new nodes, with --features and without --nodes")
    if args.features is not None and args.propagated is not None:
        raise InputError("--features: raw ones; --propagated has what is made of them: one of both")
    check_shown(args.out, shown)


command = Command(
    "classes, labels, their probabilities, or numbers, from a run's student, of new nodes too",
    "infgrand-dgl predict --run runs/cora --nodes ids.npy --out classes.npy\n"
    "infgrand-dgl predict --run runs/cora --top 3 --out likeliest.csv\n"
    "infgrand-dgl predict --run runs/cora --features new.npy --edges edges.npy --out classes.npy",
    run,
    (options.quiet,),
    add_arguments,
    place=4,
)
