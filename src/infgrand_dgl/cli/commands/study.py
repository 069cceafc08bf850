"""`infgrand-dgl study`"""

import argparse
from collections.abc import Sequence

from ...registry import studies
from .. import options
from ..command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("study", choices=studies, metavar="NAME", help="%(choices)s")
    add(
        "--datasets",
        nargs="+",
        metavar="D",
        help="default: the paper's six, or the study's; ogbn-arxiv",
    )
    add("--teachers", nargs="+", metavar="T", help="gcn, sage, gat")
    add("--settings", nargs="+", metavar="S", help="transductive, inductive")
    add("--seeds", nargs="+", type=options.SEED, metavar="S", help="default: the published ones")
    text = "compared, by name, or all (default: the paper's; of rivals all)"
    add("--methods", nargs="+", metavar="M", help=text)
    jobs = options.integer(1, 1024)
    add("--jobs", type=jobs, default=1, metavar="J", help="cells at a time (default: 1)")
    add("--render-only", action="store_true", help="tables and figures of what is finished")
    options.device(parser, "where models train")
    options.overrides(parser, "override a setting of every experiment, e.g. data.root=data")
    options.out(parser, "finished cells in it are kept", metavar="DIR")


def run(args: argparse.Namespace) -> int:
    from ...errors import check_choice
    from ...present.console import Reporter
    from ...studies.grid import cells_of, task_of, teachers
    from ...studies.published import DATASETS, LARGE, SETTINGS, Published, every
    from ...studies.runner import study

    plan = studies[args.study]

    def axis(option: str, allowed: Sequence[str], usual: Sequence[str]) -> list[str]:
        values = list(dict.fromkeys(getattr(args, option) or usual))
        for value in values:
            check_choice(f"--{option}", value, allowed)
        return values

    axes = (
        axis("datasets", (*DATASETS, *LARGE), plan.datasets or DATASETS),
        axis("teachers", teachers(), plan.teachers or teachers()),
        axis("settings", SETTINGS, plan.settings or SETTINGS),
    )
    seeds = plan.seeds if args.seeds is None else list(dict.fromkeys(args.seeds))
    names = _methods(args.study, args.methods)
    overrides = [*args.set, *([] if args.device is None else [f"train.device={args.device}"])]
    report = Reporter(args.quiet)
    dataset, teacher, setting = (values[0] for values in axes)
    first = Published(dataset, teacher, setting, tuple(overrides)).config
    task = task_of(first, look=not args.render_only)
    usual = names is None or names == every(plan.methods)
    counts = study(
        args.study,
        cells_of(plan, *axes, seeds, overrides, task, names),
        args.out,
        command=args.command,
        overrides=[*overrides, *([] if usual else [f"methods={','.join(names or ())}"])],
        jobs=args.jobs,
        render_only=args.render_only,
        report=report,
    )
    print(", ".join(f"{count} {status}" for status, count in counts.items()))
    print(f"study: {args.out}; read {args.out / f'{args.study}.md'}")
    if counts["failed"]:
        report.warn(f"{counts['failed']} cells failed: see {args.out}/cells/*.error.txt")
    return 1 if counts["failed"] else 0


def _methods(study: str, given: Sequence[str] | None) -> tuple[str, ...] | None:
    """Of `--methods`, each name or several with commas between; None: the study's own."""
    from ...errors import InputError, check_choice
    from ...studies.published import every

    if given is None:
        return None
    if not studies[study].methods:
        takers = ", ".join(plan.name for plan in studies.in_order() if plan.methods)
        raise InputError(f"--methods: only for {takers}, not {study}")
    names = [name for part in given for name in part.split(",")]
    for name in names:
        check_choice("--methods", name, [*every(["all"]), "all"])
    return every(names)


command = Command(
    "an experiment of the paper over its datasets, teachers and seeds: tables and figures",
    "infgrand-dgl study table1 --datasets cora citeseer --teachers gcn \\\n"
    "    --seeds 2022 2023 2024 --jobs 2 --out studies/table1",
    run,
    (options.quiet,),
    add_arguments,
    place=10,
)
