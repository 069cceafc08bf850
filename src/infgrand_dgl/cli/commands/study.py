"""`infgrand-dgl study`"""

import argparse
from collections.abc import Sequence

from ...registry import studies
from .. import options
from ..command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("study", choices=studies, metavar="NAME", help="%(choices)s")
    add("--datasets", nargs="+", metavar="D", help="default: the paper's six")
    add("--teachers", nargs="+", metavar="T", help="gcn, sage, gat")
    add("--settings", nargs="+", metavar="S", help="transductive, inductive")
    add("--seeds", nargs="+", type=options.SEED, metavar="S", help="default: 2022 to 2026")
    jobs = options.integer(1, 1024)
    add("--jobs", type=jobs, default=1, metavar="J", help="cells at a time (default: 1)")
    add("--render-only", action="store_true", help="tables and figures of what is finished")
    options.device(parser, "where models train")
    options.overrides(parser, "override a setting of every experiment, e.g. data.root=data")
    options.out(parser, "finished cells in it are kept", metavar="DIR")


def run(args: argparse.Namespace) -> int:
    from ...config.reading import load_config
    from ...errors import check_choice
    from ...present.console import Reporter
    from ...studies.grid import DATASETS, SETTINGS, cells_of, task_of, teachers
    from ...studies.runner import study

    plan = studies[args.study]

    def axis(option: str, allowed: Sequence[str], usual: Sequence[str]) -> list[str]:
        values = list(dict.fromkeys(getattr(args, option) or usual))
        for value in values:
            check_choice(f"--{option}", value, allowed)
        return values

    axes = (
        axis("datasets", DATASETS, DATASETS),
        axis("teachers", teachers(), plan.teachers or teachers()),
        axis("settings", SETTINGS, plan.settings or SETTINGS),
    )
    seeds = None if args.seeds is None else list(dict.fromkeys(args.seeds))
    overrides = [*args.set, *([] if args.device is None else [f"train.device={args.device}"])]
    report = Reporter(args.quiet)
    first = "_".join(values[0] for values in axes)
    task = task_of(load_config(first, overrides), look=not args.render_only)
    counts = study(
        args.study,
        cells_of(plan, *axes, seeds, overrides, task),
        args.out,
        command=args.command,
        overrides=overrides,
        jobs=args.jobs,
        render_only=args.render_only,
        report=report,
    )
    print(", ".join(f"{count} {status}" for status, count in counts.items()))
    print(f"study: {args.out}; read {args.out / f'{args.study}.md'}")
    if counts["failed"]:
        report.warn(f"{counts['failed']} cells failed: see {args.out}/cells/*.error.txt")
    return 1 if counts["failed"] else 0


command = Command(
    "an experiment of the paper over its datasets, teachers and seeds: tables and figures",
    "infgrand-dgl study table1 --datasets cora citeseer --teachers gcn \\\n"
    "    --seeds 2022 2023 2024 --jobs 2 --out studies/table1",
    run,
    (options.quiet,),
    add_arguments,
    place=7,
)
