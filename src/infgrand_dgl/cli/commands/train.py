"""`infgrand-dgl train`"""

import argparse
import os
from datetime import datetime
from pathlib import Path

from ...errors import InputError
from .. import options
from ..command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--seeds", metavar="S,S", help="instead of train.seeds, e.g. 2022,2023")
    add("--out", type=Path, metavar="DIR", help="run directory (default: runs/<config>-<time>)")
    add(
        "--overwrite",
        action="store_true",
        help="replace the run in --out; of its stages those whose inputs are unchanged are reused",
    )
    add(
        "--resume",
        action="store_true",
        help="go on with the unfinished run of --out (--config may then be left out)",
    )
    add("--fresh", action="store_true", help="reuse nothing of an earlier run")
    options.device(parser)


def run(args: argparse.Namespace) -> None:
    from ...config.reading import find_config, load_config

    if args.resume and args.out is None:
        raise InputError("--resume: name the run with --out")
    file = args.config or _config_of_run(args)
    overrides = list(args.set)
    if args.seeds is not None:
        overrides.append(f"train.seeds=[{args.seeds}]")
    if args.device is not None:
        overrides.append(f"train.device={args.device}")
    config = load_config(file, overrides)

    from ...experiment.train import train
    from ...present.console import Reporter
    from ..accuracy_table import accuracy_table

    out = args.out or Path("runs") / f"{find_config(file).stem}-{datetime.now():%Y%m%d-%H%M%S}"
    first = int(os.environ.get("RANK", "0")) == 0  # of the processes that torchrun started
    report = Reporter(args.quiet or not first)
    ways = {"overwrite": args.overwrite, "resume": args.resume, "fresh": args.fresh}
    metrics = train(config, out, **ways, report=report)
    if first:
        report.table(*accuracy_table(config, metrics))
        print(f"run directory: {out}")


def _config_of_run(args: argparse.Namespace) -> str:
    """Where `--resume` finds the experiment, if `--config` does not name it."""
    from ...experiment.directory import partial_of

    if not args.resume:
        raise InputError("--config: an experiment is needed (with --resume it may be left out)")
    folders = [partial_of(args.out), args.out]
    for folder in folders:
        if (folder / "config.yaml").is_file():
            return str(folder / "config.yaml")
    raise InputError(f"--resume: no run in {' or '.join(map(str, folders))}")


command = Command(
    "influence, propagation, teacher, distilled student; writes a run directory",
    "infgrand-dgl train --config experiments/cora_gcn_transductive.yaml \\\n"
    "    --set data.root=data --seeds 2022,2023 --out runs/cora",
    run,
    (options.resumable_experiment, options.quiet),
    add_arguments,
    place=1,
)
