"""`infgrand-dgl update`"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .. import options
from ..command import Command

if TYPE_CHECKING:
    from ...errors import InputError
    from ...experiment.directory import RunDirectory
    from ...experiment.updating import Update

FILES = ("add_edges", "remove_edges", "add_nodes", "features", "set_features")
CALLED = {  # in errors of `Update`
    "added edges": ("add_edges", "add_nodes"),
    "removed edges": ("remove_edges",),
    "features of new nodes": ("features",),
    "changed features": ("set_features",),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    def add(name: str, help: str) -> None:
        parser.add_argument(name, type=Path, metavar="FILE", help=help)

    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="a run directory")
    add("--add-edges", "ids [m, 2] of undirected edges that the graph gets, as of predict --edges")
    add("--remove-edges", "likewise, that it loses; these go first")
    add("--features", "raw features [n, D] of new nodes, ids N to N + n - 1")
    add("--add-nodes", "edges of the new nodes, with known ones and each other")
    add("--set-features", "of known nodes: a table with a column id, or .npz of ids and features")
    parser.add_argument(
        "--refresh",
        type=options.integer(1, 10**6),
        metavar="EPOCHS",
        help="then train the students on from their weights, so long at most",
    )


def run(args: argparse.Namespace) -> None:
    from ...errors import InputError
    from ...experiment.directory import RunDirectory
    from ...experiment.refreshing import check, refresh
    from ...experiment.updating import update
    from ...present.console import Reporter

    run, report = RunDirectory.open(args.run), Reporter(quiet=args.quiet)
    if args.add_nodes is not None and args.features is None:
        raise InputError("--add-nodes: the new nodes need --features")
    changes = any(getattr(args, name) is not None for name in FILES)
    if not changes and args.refresh is None:
        raise InputError("update: expected edges, nodes or features that change, or --refresh")
    if args.refresh is not None:
        check(run.config)
    if changes:
        asked = _asked(args, run)
        if not run.graph.exists():
            report.line("the first update reads the run's dataset, others do not")
        try:
            done = update(run, asked)
        except InputError as error:
            raise _named(error, args) from None
        rows = {"of inputs": done.inputs, "of influence": done.influence}
        rows |= {f"of targets, seed {seed}": count for seed, count in done.logits.items()}
        found = [(name, f"{n:,}") for name, n in rows.items() if n is not None]
        if not args.quiet:
            report.table(["rows", "changed"], [*found, ("seconds", f"{done.seconds:.2f}")])
    if args.refresh is not None:
        kept = refresh(run, args.refresh, report)
        new = sum(each.weights is not None for each in kept.values())
        report.line(f"{new} of {len(kept)} students are better by validation, and replaced")


def _named(error: Exception, args: argparse.Namespace) -> InputError:
    """The error of an update with the options and files whose content it is about."""
    from ...errors import InputError

    what, _, said = str(error).partition(": ")
    given = {name: getattr(args, name) for name in CALLED.get(what, ()) if getattr(args, name)}
    files = ", ".join(f"--{name.replace('_', '-')} {path}" for name, path in given.items())
    return InputError(f"{files}: {said}" if files else str(error))


def _asked(args: argparse.Namespace, run: RunDirectory) -> Update:
    from ...data.edits import read_changed_features, read_edits
    from ...data.feature_files import read_features
    from ...errors import InputError
    from ...experiment.updating import NOBODY, Update

    known = len(run.propagated(run.config.train.seeds[0]))
    features, new = None, 0
    if args.features is not None:
        features, ids = read_features(args.features)
        new = features.shape[0]
        if ids is not None:
            raise InputError(f"--features {args.features}: expected no column of ids, found one")
    changed, rows = NOBODY, None
    if args.set_features is not None:
        changed, rows = read_changed_features(args.set_features)
    edits = read_edits(args.add_edges, args.remove_edges, args.add_nodes, known, new)
    return Update(edits, features, changed, rows, known)


command = Command(
    "a run brought up to date with a graph that has changed, in the rows that the change reaches",
    "infgrand-dgl update --run runs/cora --add-edges new.npy --remove-edges old.npy\n"
    "infgrand-dgl update --run runs/cora --features nodes.npy --add-nodes edges.npy --refresh 20",
    run,
    (options.quiet,),
    add_arguments,
    place=6,
)
