"""`infgrand-dgl tune`"""

import argparse
from pathlib import Path

from ...errors import InputError
from .. import options
from ..command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    count, jobs = options.integer(1, 1_000_000), options.integer(1, 1024)
    add("--space", default="student", metavar="FILE", help="what is tried (default: student)")
    add("--trials", type=count, required=True, metavar="N", help="in all; those of --out count")
    add("--jobs", type=jobs, default=1, metavar="J", help="trials at a time (default: 1)")
    add("--seed", type=options.SEED, default=0, help="of what is tried (default: 0)")
    text = "over which a trial is scored: transductive, inductive (default: the experiment's)"
    add("--settings", nargs="+", default=[], metavar="S", help=text)
    add("--prune", action="store_true", help="end trials early whose first seeds are poor")
    add("--out", type=Path, metavar="DIR", help="trials in it are kept (default: tuned/<config>)")
    options.device(parser)


def run(args: argparse.Namespace) -> int:
    from ...config.reading import find_config, load_config
    from ...errors import check_choice
    from ...studies.published import SETTINGS
    from ...studies.tuning.search import require_optuna

    require_optuna()
    across = tuple(dict.fromkeys(args.settings))
    for setting in across:
        check_choice("--settings", setting, SETTINGS)
    file = find_config(args.config)
    device = [] if args.device is None else [f"train.device={args.device}"]
    config = load_config(file, [*args.set, *device])

    from ...present.console import Reporter
    from ...studies.grid import task_of
    from ...studies.tuning.folder import Search
    from ...studies.tuning.runner import tune
    from ...studies.tuning.space import find_space, read_space, unread

    report = Reporter(args.quiet)
    path = find_space(args.space)
    space = read_space(path, config)
    task = task_of(config)
    if left := unread(config, space, task):
        who = f"method: {config.method}" + (" of regression" if task == "regression" else "")
        report.line(f"left out, as {who} does not read them: {', '.join(left)}")
        space = {key: part for key, part in space.items() if key not in left}
    if not space:
        raise InputError(f"--space {args.space}: nothing is left of it to try")
    out = args.out or Path("tuned") / file.stem
    found = tune(
        Search(file, config, space, args.seed, args.prune, across),
        out,
        trials=args.trials,
        jobs=args.jobs,
        command=args.command,
        report=report,
    )
    print(", ".join(f"{count} {state}" for state, count in found.counts.items()))
    if found.best is None:
        report.warn(f"no trial has finished: see {out / 'tune.md'}")
        return 1
    print(f"best: {out / 'best.yaml'}; read {out / 'tune.md'} or {out / 'report.html'}")
    return 0


command = Command(
    "the best settings of an experiment, by its validation nodes",
    "infgrand-dgl tune --config cora_gcn_transductive --trials 100 --jobs 2 \\\n"
    "    --set data.root=data --out tuned/cora\n"
    "infgrand-dgl train --config tuned/cora/best.yaml",
    run,
    (options.experiment, options.quiet),
    add_arguments,
    place=10,
)
