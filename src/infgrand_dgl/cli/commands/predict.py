"""`infgrand-dgl predict`"""

import argparse
from pathlib import Path

from .. import options
from ..command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--run", type=Path, required=True, metavar="DIR", help="a run directory")
    add("--seed", type=options.SEED, help="whose student (default: best on validation)")
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument(
        "--propagated",
        type=Path,
        metavar="X.npy",
        help="propagated features [n, D] of your own (default: the run's)",
    )
    rows.add_argument("--nodes", type=Path, metavar="IDS.npy", help="node ids [n] (default: all)")
    options.out(parser, "predictions.npy")
    add("--probabilities", action="store_true", help="float32 [n, C] instead of classes [n]")


def run(args: argparse.Namespace) -> None:
    from ...experiment.directory import RunDirectory
    from ...serving import likeliest, load_classes, predict, rows_of
    from ...system.arrays import load_array
    from ...system.writing import check_writable, save_array

    run = RunDirectory.open(args.run)
    seed = run.best_seed() if args.seed is None else args.seed
    student = run.student(seed)
    classes = load_classes(run.weights(seed, "student"))
    check_writable(args.out)
    if args.propagated is not None:
        inputs = load_array(args.propagated)
    else:
        inputs = run.propagated(seed)
        if args.nodes is not None:
            inputs = rows_of(inputs, load_array(args.nodes), f"--nodes {args.nodes}")
    probabilities = predict(student, inputs)
    result = probabilities.numpy() if args.probabilities else likeliest(probabilities, classes)
    save_array(args.out, result)
    if not args.quiet:
        if args.probabilities and classes is not None:
            print(f"columns: {', '.join(map(str, classes))}")
        print(f"student of seed {seed}: {len(result):,} nodes; wrote {args.out}")


command = Command(
    "classes, or their probabilities, from a run's student; no graph is touched",
    "infgrand-dgl predict --run runs/cora --nodes ids.npy --out classes.npy",
    run,
    (options.quiet,),
    add_arguments,
    place=4,
)
