"""The command line: parse, call, print. Heavy imports wait until a command needs them."""

import argparse
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

from .. import __version__, studies
from ..benchmark import command as benchmark
from ..errors import InputError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command. 0: done; 1: failed; 2: bad usage or input; 130, 143: interrupted."""
    args = _parser().parse_args(argv)
    args.command = shlex.join(["infgrand-dgl", *(sys.argv[1:] if argv is None else argv)])
    # As Ctrl-C does, a SIGTERM leaves nothing half-written.
    usual = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    logging.basicConfig(
        format="infgrand-dgl: %(message)s", level=logging.INFO if args.verbose else logging.WARNING
    )
    try:
        status = args.run_command(args)
        sys.stdout.flush()
    except InputError as error:
        if args.verbose:
            logging.getLogger(__name__).info("where it came from", exc_info=True)
        _complain(f"error: {error}", error)
        return 2
    except KeyboardInterrupt as error:
        _complain("interrupted", error)
        return 130
    except SystemExit as error:  # by SIGTERM
        together = int(os.environ.get("WORLD_SIZE", "1")) > 1
        why = ", as when another process of this run has failed" if together else ""
        _complain(f"terminated{why}", error)
        raise
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:  # a full disk, an unreadable file
        logging.getLogger(__name__).info("where it came from", exc_info=True)
        _complain(f"error: {error.filename or 'system'}: {error.strerror or error}", error)
        return 1
    finally:
        signal.signal(signal.SIGTERM, usual)  # one that comes while Python shuts down just ends it
    return status or 0


def _complain(what: str, error: BaseException) -> None:
    """On stderr, in one line: what happened, and how to go on where a note on the error says so."""
    print("; ".join([f"infgrand-dgl: {what}", *getattr(error, "__notes__", ())]), file=sys.stderr)


# Commands


def _train(args: argparse.Namespace) -> None:
    from ..config.reading import find_config, load_config
    from ..experiment.directory import partial_of

    if args.resume and args.out is None:
        raise InputError("--resume: name the run with --out")
    if args.config is None:
        if not args.resume:
            raise InputError("--config: an experiment is needed (with --resume it may be left out)")
        homes = [partial_of(args.out), args.out]
        found = [home / "config.yaml" for home in homes if (home / "config.yaml").is_file()]
        if not found:
            raise InputError(f"--resume: no run in {' or '.join(map(str, homes))}")
        args.config = str(found[0])

    overrides = list(args.set)
    if args.seeds is not None:
        overrides.append(f"train.seeds=[{args.seeds}]")
    if args.device is not None:
        overrides.append(f"train.device={args.device}")
    config = load_config(args.config, overrides)

    from ..experiment.train import train
    from ..present.console import Reporter

    stem = find_config(args.config).stem
    out = args.out or Path("runs") / f"{stem}-{datetime.now():%Y%m%d-%H%M%S}"
    first = int(os.environ.get("RANK", "0")) == 0  # of the processes that torchrun started
    report = Reporter(args.quiet or not first)
    metrics = train(
        config,
        out,
        overwrite=args.overwrite,
        resume=args.resume,
        fresh=args.fresh,
        report=report,
    )
    if not first:
        return

    methods = {"mlp": "plain MLP", "glnn": "GLNN student", "infgrand": "InfGraND student"}
    names: dict[str, str] = {m: methods[m] for m in config.train.baselines}
    names |= {"teacher": f"teacher ({config.teacher.model})", "student": methods[config.method]}
    parts = {"val": "validation", "test": "test", "test_observed": "test, observed"}
    shown = [part for part in parts if part in metrics["student"]]
    report.table(
        ["model", *(f"{parts[p]} (%)" for p in shown), "ms per 1000 nodes"],
        [
            [
                name,
                *(
                    f"{100 * metrics[k][p]['mean']:.1f} ± {100 * metrics[k][p]['std']:.1f}"
                    for p in shown
                ),
                _pace(metrics[k]),
            ]
            for k, name in names.items()
            if k in metrics
        ],
    )
    print(f"run directory: {out}")


def _pace(model: Mapping[str, Any]) -> str:
    """A model whose pass over the nodes was not timed has none."""
    found = model.get("milliseconds_per_1000_nodes")
    return f"{found['mean']:.2f}" if found else "-"


def _opened(args: argparse.Namespace) -> tuple[Any, ...]:
    """Experiment, dataset, device and reporter of a command that writes one array."""
    from ..config.reading import load_config

    config = load_config(args.config, args.set)

    from ..data import load_dataset
    from ..data.dataset import describe
    from ..present.console import Reporter
    from ..system.runtime import resolve_device
    from ..system.writing import check_writable

    device = resolve_device(args.device or config.train.device)
    check_writable(args.out)
    report = Reporter(args.quiet)
    dataset = load_dataset(config, args.seed)
    report.line(describe(dataset))
    return config, dataset, device, report


def _influence(args: argparse.Namespace) -> None:
    config, dataset, device, report = _opened(args)

    from ..influence.compute import influence
    from ..influence.scores import flat_warning, spread
    from ..registry import measures
    from ..system.writing import save_array, writing
    from ..training.teacher import load_logits

    logits, measure = None, config.influence.measure
    if measures[measure].needs_teacher:
        if config.teacher.logits is None:
            raise InputError(f"influence.measure: {measure} needs teacher.logits, a file [N, C]")
        logits = load_logits(Path(config.teacher.logits), dataset.num_nodes, dataset.num_classes)
    with writing(args.out) as partial:
        with report.stage("influence") as stage:
            start = time.perf_counter()
            found = influence(
                config,
                dataset,
                device,
                logits=logits,
                scratch=partial.parent,
                progress=stage.update,
            )
            seconds = time.perf_counter() - start
            stage.result = f"{seconds:.2f} s"
        save_array(partial, found.scores)
    s = spread(found.scores)
    scored = int((~found.scores.isnan()).sum())
    print(f"min {s.min:.6g}  mean {s.mean:.6g}  max {s.max:.6g}")
    print("quartiles " + "  ".join(f"{q:.6g}" for q in s.quartiles))
    print(f"coefficient of variation {s.coefficient_of_variation:.4f}")
    if found.minimum is not None:
        share = found.minimum.share(scored * scored)
        print(f"minimum cosine {found.minimum.value:.6g}, certified on {share:.2%} of the pairs")
    print(f"{seconds:.2f} s, {scored * scored / seconds:.3g} node pairs per second")
    if s.flat and measure != "uniform":
        report.warn(flat_warning(config))
    print(f"wrote {args.out}")


def _propagate(args: argparse.Namespace) -> None:
    config, dataset, device, report = _opened(args)

    from ..propagation.inputs import student_inputs
    from ..system.arrays import is_mapped
    from ..system.writing import save_array

    with report.timed("propagate") as stage:
        inputs = student_inputs(config, dataset, device, out=args.out, progress=stage.update)
        if not is_mapped(inputs):
            save_array(args.out, inputs)
    kind = str(inputs.dtype).removeprefix("torch.")
    print(f"wrote {args.out}: {kind} {list(inputs.shape)}")


def _predict(args: argparse.Namespace) -> None:
    import numpy as np

    from ..experiment.directory import RunDirectory
    from ..serving import predict
    from ..system.arrays import load_array
    from ..system.writing import check_writable, save_array

    run = RunDirectory.open(args.run)
    seed = run.best_seed() if args.seed is None else args.seed
    student = run.student(seed)
    check_writable(args.out)
    if args.propagated is not None:
        inputs = load_array(args.propagated)
    else:
        inputs = run.propagated(seed)
        if args.nodes is not None:
            nodes = load_array(args.nodes)
            if nodes.ndim != 1 or nodes.dtype.kind not in "iu":
                found = f"{nodes.dtype} {list(nodes.shape)}"
                raise InputError(f"--nodes {args.nodes}: expected integers [n], found {found}")
            wrong = (nodes < 0) | (nodes >= len(inputs))
            if wrong.any():
                raise InputError(
                    f"--nodes {args.nodes}: expected ids 0 to {len(inputs) - 1}, "
                    f"found {nodes[wrong][0]}"
                )
            inputs = inputs[nodes]
    probabilities = predict(student, inputs).numpy()
    result = probabilities if args.probabilities else probabilities.argmax(1).astype(np.int64)
    save_array(args.out, result)
    if not args.quiet:
        print(f"student of seed {seed}: {len(result):,} nodes; wrote {args.out}")


def _report(args: argparse.Namespace) -> None:
    from ..present.console import Reporter
    from ..report.page import write

    write(args.paths, args.out, Reporter(args.quiet))
    print(f"wrote {args.out}")


def _study(args: argparse.Namespace) -> int:
    from ..errors import check_choice
    from ..present.console import Reporter
    from ..studies.grid import DATASETS, SETTINGS, STUDIES, TEACHERS
    from ..studies.runner import study

    plan = STUDIES[args.study]
    chosen = {
        "--datasets": (args.datasets, DATASETS, DATASETS),
        "--teachers": (args.teachers, TEACHERS, plan.teachers),
        "--settings": (args.settings, SETTINGS, plan.settings),
    }
    axes: list[Sequence[str]] = []
    for option, (given, allowed, usual) in chosen.items():
        values = list(dict.fromkeys(given or usual))
        for value in values:
            check_choice(option, value, allowed)
        axes.append(values)
    seeds = None if args.seeds is None else list(dict.fromkeys(args.seeds))
    overrides = [*args.set, *([] if args.device is None else [f"train.device={args.device}"])]
    report = Reporter(args.quiet)
    datasets, teachers, settings = axes
    cells = plan.cells(datasets, teachers, settings, seeds, overrides)
    counts = study(
        args.study,
        cells,
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


def _data_list(args: argparse.Namespace) -> None:
    from ..config.schema import DATASETS
    from ..data import default_root

    about = {
        "synthetic": "generated: data.style citation, arxiv, products, papers100M or uniform",
        "directory": "your own: edges, features.npy, labels.npy, splits.json in data.root",
    }
    for name in DATASETS:
        source = "OGB node property prediction" if name.startswith("ogbn") else "built into DGL"
        print(f"{name:<18} {about.get(name, source)}")
    print(f"downloads go to {default_root()}, unless data.root says otherwise")


def _data_describe(args: argparse.Namespace) -> None:
    import torch

    from ..config.reading import load_config
    from ..data import load_dataset
    from ..data.dataset import describe
    from ..system.arrays import release

    dataset = load_dataset(load_config(args.config, args.set), args.seed)
    print(describe(dataset))
    neighbours = dataset.csr.row_lengths - 1  # the self-loop is no neighbour
    ordered = neighbours.sort().values
    picks = [ordered[round(q * (len(ordered) - 1))].item() for q in (0.25, 0.5, 0.75, 0.99)]
    print(
        f"neighbours: mean {neighbours.double().mean():.2f}, quartiles {picks[0]}, {picks[1]}, "
        f"{picks[2]}, 99% {picks[3]}, max {ordered[-1]}, isolated {int((neighbours == 0).sum())}"
    )
    x = dataset.features
    values = x.values() if x.is_sparse_csr else x
    nonzero = 0
    for block in values.split(1 << 16):
        nonzero += int(block.count_nonzero())
        release(values)
    kind = "sparse" if x.is_sparse_csr else "dense"
    dtype = str(x.dtype).removeprefix("torch.")
    print(f"features: {kind} {dtype}, {nonzero / x.numel():.2%} non-zero")
    print(f"edge homophily: {dataset.homophily():.4f}")
    counts = torch.bincount(dataset.labels[dataset.labels >= 0], minlength=dataset.num_classes)
    shown = ", ".join(str(n) for n in counts[:50].tolist())
    print(f"nodes per class: {shown}{', ...' if len(counts) > 50 else ''}")
    parts = {part: len(getattr(dataset.parts, part)) for part in ("train", "val", "test")}
    if dataset.parts.observed is not None:
        parts |= {
            "test_observed": len(dataset.parts.test_observed),
            "observed": len(dataset.parts.observed),
        }
    print("split: " + ", ".join(f"{name} {count:,}" for name, count in parts.items()))
    print("provenance: " + ", ".join(f"{k} {v}" for k, v in dataset.provenance.items()))


def _data_prepare(args: argparse.Namespace) -> None:
    from ..config.reading import load_config

    config = load_config(args.config, args.set)

    from ..data.prepared import prepare
    from ..present.console import Reporter

    report = Reporter(args.quiet)
    prepare(config, args.out, dtype=args.dtype, overwrite=args.overwrite, report=report)
    print(f"prepared: {args.out}; use it with --set data.prepared={args.out}")


def _data_verify(args: argparse.Namespace) -> None:
    from ..data.prepared import verify
    from ..present.console import Reporter

    verify(args.folder, Reporter(args.quiet))
    print(f"{args.folder}: ok")


def _info(args: argparse.Namespace) -> None:
    from ..experiment.environment import environment

    for key, value in environment().items():
        if isinstance(value, dict):
            value = ", ".join(f"{k}: {v}" for k, v in value.items())
        elif isinstance(value, list):
            value = ", ".join(value) or "none"
        print(f"{key:<14} {value}")


# Arguments


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"expected an integer from 0 to 2^32 - 1, found {text!r}")
    return int(text)


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"expected an integer from 1 to 1024, found {text!r}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-v", "--verbose", action="store_true", help="say more about what happens")
    experiment, resumable = (argparse.ArgumentParser(add_help=False) for _ in range(2))
    for each in (experiment, resumable):
        each.add_argument(
            "--config",
            required=each is experiment,
            metavar="FILE",
            help="experiment in YAML, or the name of a shipped one (demo)",
        )
        each.add_argument(
            "--set",
            nargs="+",
            action="extend",
            default=[],
            metavar="KEY=VALUE",
            help="override a setting, e.g. teacher.lr=0.005",
        )
    quiet = argparse.ArgumentParser(add_help=False)
    quiet.add_argument("-q", "--quiet", action="store_true", help="print the results alone")

    parser = argparse.ArgumentParser(
        prog="infgrand-dgl",
        description="Distils graph neural networks into MLPs, guided by node influence (InfGraND).",
        epilog="`infgrand-dgl train --config demo` needs no download and ends within two minutes.",
    )
    parser.add_argument("--version", action="version", version=f"infgrand-dgl {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(
        to: "argparse._SubParsersAction[argparse.ArgumentParser]",
        name: str,
        run: Callable[[argparse.Namespace], int | None],
        text: str,
        example: str,
        *parents: argparse.ArgumentParser,
    ) -> argparse.ArgumentParser:
        added = to.add_parser(
            name,
            parents=[*parents, common],
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=f"example:\n{dedent(example)}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(run_command=run)
        return added

    train = command(
        commands,
        "train",
        _train,
        "influence, propagation, teacher, distilled student; writes a run directory",
        "  infgrand-dgl train --config experiments/cora_gcn_transductive.yaml \\\n"
        "      --set data.root=data --seeds 2022,2023 --out runs/cora",
        resumable,
        quiet,
    )
    train.add_argument("--seeds", metavar="S,S", help="instead of train.seeds, e.g. 2022,2023")
    train.add_argument(
        "--out", type=Path, metavar="DIR", help="run directory (default: runs/<config>-<time>)"
    )
    train.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the run in --out; of its stages those whose inputs are unchanged are reused",
    )
    train.add_argument(
        "--resume",
        action="store_true",
        help="go on with the unfinished run of --out (--config may then be left out)",
    )
    train.add_argument("--fresh", action="store_true", help="reuse nothing of an earlier run")

    scores = command(
        commands,
        "influence",
        _influence,
        "global influence score of every node, float32 [N]",
        "  infgrand-dgl influence --config experiments/arxiv.yaml --out influence.npy",
        experiment,
        quiet,
    )
    scores.add_argument("--out", type=Path, required=True, metavar="FILE", help="influence.npy")
    inputs = command(
        commands,
        "propagate",
        _propagate,
        "the student's inputs, features propagated and pooled, [N, D]; `predict` takes them",
        "  infgrand-dgl propagate --config experiments/arxiv.yaml --out propagated.npy",
        experiment,
        quiet,
    )
    inputs.add_argument("--out", type=Path, required=True, metavar="FILE", help="propagated.npy")
    for each in (scores, inputs):
        each.add_argument("--seed", type=_seed, help="of the split, where it is drawn per seed")
    for each in (train, scores, inputs):
        each.add_argument(
            "--device", choices=["auto", "cpu", "cuda"], help="instead of train.device"
        )

    predict = command(
        commands,
        "predict",
        _predict,
        "class ids, or probabilities, from a run's student; no graph is touched",
        "  infgrand-dgl predict --run runs/cora --nodes ids.npy --out classes.npy",
        quiet,
    )
    predict.add_argument("--run", type=Path, required=True, metavar="DIR", help="a run directory")
    predict.add_argument("--seed", type=_seed, help="whose student (default: best on validation)")
    rows = predict.add_mutually_exclusive_group()
    rows.add_argument(
        "--propagated",
        type=Path,
        metavar="X.npy",
        help="propagated features [n, D] of your own (default: the run's)",
    )
    rows.add_argument("--nodes", type=Path, metavar="IDS.npy", help="node ids [n] (default: all)")
    predict.add_argument("--out", type=Path, required=True, metavar="FILE", help="predictions.npy")
    predict.add_argument(
        "--probabilities", action="store_true", help="float32 [n, C] instead of int64 [n]"
    )

    page = command(
        commands,
        "report",
        _report,
        "runs and studies as one self-contained HTML page",
        "  infgrand-dgl report runs/cora --out cora.html\n"
        "  infgrand-dgl report runs/before runs/after --out both.html",
        quiet,
    )
    page.add_argument(
        "paths", type=Path, nargs="+", metavar="DIR", help="a run directory, or a study's folder"
    )
    page.add_argument("--out", type=Path, required=True, metavar="FILE", help="report.html")

    data = commands.add_parser("data", help="list, describe, prepare datasets").add_subparsers(
        required=True, metavar="command"
    )
    command(data, "list", _data_list, "names for data.name", "  infgrand-dgl data list")
    described = command(
        data,
        "describe",
        _data_describe,
        "counts, degrees, classes, homophily and splits of a dataset",
        "  infgrand-dgl data describe --config demo",
        experiment,
    )
    described.add_argument("--seed", type=_seed, help="of the split, where it is drawn per seed")

    prepared = command(
        data,
        "prepare",
        _data_prepare,
        "a dataset as a folder of arrays that opens instantly, for data.prepared",
        "  infgrand-dgl data prepare --config papers100M-synthetic --dtype float16 \\\n"
        "      --set data.nodes=2000000 --out prepared/papers",
        experiment,
        quiet,
    )
    prepared.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder")
    prepared.add_argument(
        "--dtype",
        choices=["float32", "float16", "bfloat16"],
        default="float32",
        help="of the features (default: float32)",
    )
    prepared.add_argument(
        "--overwrite", action="store_true", help="replace the prepared dataset in --out"
    )
    verified = command(
        data,
        "verify",
        _data_verify,
        "whether the files of a prepared dataset are as they were written",
        "  infgrand-dgl data verify prepared/papers",
        quiet,
    )
    verified.add_argument("folder", type=Path, metavar="DIR", help="what data prepare wrote")

    studied = command(
        commands,
        "study",
        _study,
        "an experiment of the paper over its datasets, teachers and seeds: tables and figures",
        "  infgrand-dgl study table1 --datasets cora citeseer --teachers gcn \\\n"
        "      --seeds 2022 2023 2024 --jobs 2 --out studies/table1",
        quiet,
    )
    studied.add_argument(
        "study",
        choices=studies.NAMES,
        metavar="NAME",
        help=", ".join(studies.NAMES),
    )
    studied.add_argument("--datasets", nargs="+", metavar="D", help="default: the paper's six")
    studied.add_argument("--teachers", nargs="+", metavar="T", help="gcn, sage, gat")
    studied.add_argument("--settings", nargs="+", metavar="S", help="transductive, inductive")
    studied.add_argument(
        "--seeds", nargs="+", type=_seed, metavar="S", help="default: 2022 to 2026"
    )
    studied.add_argument(
        "--jobs", type=_jobs, default=1, metavar="J", help="cells at a time (default: 1)"
    )
    studied.add_argument(
        "--render-only", action="store_true", help="tables and figures of what is finished"
    )
    studied.add_argument("--device", choices=["auto", "cpu", "cuda"], help="where models train")
    studied.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="override a setting of every experiment, e.g. data.root=data",
    )
    studied.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="finished cells in it are kept"
    )

    measured = commands.add_parser("benchmark", help="time our kernels and models beside others'")
    benchmarks = measured.add_subparsers(required=True, metavar="benchmark", dest="benchmark")
    for name, about in benchmark.BENCHMARKS.items():
        example = f"--style products --nodes 100000 --json {name}.json"
        timed = command(
            benchmarks,
            name,
            benchmark.run,
            about.about,
            f"  infgrand-dgl benchmark {name} {example}",
            quiet,
        )
        benchmark.add_arguments(timed, name)
    every = command(
        benchmarks,
        "all",
        benchmark.run_all,
        "every benchmark, into <machine>.json and a table in <machine>.md",
        "  infgrand-dgl benchmark all --only influence propagate --style products --out results",
        quiet,
    )
    benchmark.add_arguments(every, "all")

    command(
        commands,
        "info",
        _info,
        "versions, devices, and what of the extension is loaded",
        "  infgrand-dgl info",
    )
    return parser
