"""`infgrand-dgl benchmark NAME`: its arguments, its graph, and what is measured on it.

The command line imports this to parse; everything heavy waits until something is measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    import torch

    from ..config.schema import Config
    from ..data import NodeDataset
    from ..present.console import Reporter
    from .harness import Contender, Row
    from .report import Result


@dataclass(frozen=True)
class Benchmark:
    """What `--help` says, and the settings where no `--config` names others.

    Args:
        models: sections of the config that `--layers` and `--hidden` set.
    """

    about: str
    defaults: dict[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ()


# Sizes that end within a minute on two cores.
GRAPH = {"data.style": "arxiv", "data.nodes": 20_000}
GNN = {f"{model}.{k}": v for model in ("teacher", "student") for k, v in
       {"layers": 2, "hidden": 256}.items()}  # fmt: skip
BENCHMARKS = {
    "influence": Benchmark(
        "the closed form against the algorithms that visit all pairs of nodes", GRAPH
    ),
    "spmm": Benchmark(
        "one product with the normalised adjacency against DGL, torch, scipy "
        "(GPU: cuSPARSE, CuPy, PyG)",
        GRAPH,
    ),
    "propagate": Benchmark("hops and mean pooling against the same libraries", GRAPH),
    "distill": Benchmark(
        "the distillation term in each of its forms, and training steps with and without it",
        {**GRAPH, "student.layers": 3, "student.hidden": 256},
        ("student",),
    ),
    "inference": Benchmark(
        "the student against each teacher, full-graph and on sampled neighbourhoods",
        {**GRAPH, **GNN, "data.nodes": 10_000},
        ("teacher", "student"),
    ),
    "train": Benchmark(
        "epochs of each teacher on each backend and of the student, and one seed end to end",
        # Without weight decay no student is trained twice (docs/reproduction.md).
        {**GRAPH, **GNN, "data.nodes": 10_000, "student.weight_decay": 0.0, "train.epochs": 10},
        ("teacher", "student"),
    ),
}
GENERATED = {"style": str, "nodes": int, "degree": float, "features": int, "classes": int,
             "homophily": float, "seed": int}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Those of one benchmark, or of "all", which takes every one's."""
    everything = name == "all"
    add = parser.add_argument
    add("--config", metavar="FILE", help="a graph of your own, in YAML")
    add(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="override a setting, e.g. distillation.tau=2",
    )  # fmt: skip
    for key, kind in GENERATED.items():
        add(f"--{key}", type=kind, help="of the generated graph")
    if everything or BENCHMARKS[name].models:
        for key in ("layers", "hidden"):
            add(f"--{key}", type=int, help="of every model")
    if everything or name == "influence":
        add("--blocked", action="store_true", help="scan all pairs of large graphs, too")
    if everything or name in ("spmm", "propagate"):
        add("--hub", type=_positive, metavar="N", help="join one node to N others, or to all")
    if everything or name == "propagate":
        add("--hops", type=_positive, default=2, metavar="P")
    if everything or name == "distill":
        add("--kl", choices=["forward", "reverse"], help="direction (default: forward)")
    add("--device", choices=["auto", "cpu", "cuda"])
    add("--threads", type=int, metavar="T", help="of the CPU")
    add("--repeat", type=_positive, default=5, metavar="R", help="rounds")
    if everything:
        add("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), help="fewer")
        add(
            "--out", type=Path, metavar="DIR", default=Path("benchmarks/results"),
            help="where <machine>.json and <machine>.md go (default: benchmarks/results)",
        )  # fmt: skip
    else:
        add("--json", type=Path, metavar="FILE", help="write the figures")
        add("--plot", type=Path, metavar="FILE", help="draw them (PNG)")


def run(args: argparse.Namespace) -> int:
    """One benchmark. 1: a contender failed, and not for want of memory."""
    name = args.benchmark
    config = configure(name, args)
    device, report = _prepare(args, config, ("json", "plot"))

    from ..data import load_source
    from .report import draw, save, show

    def keep(result: Result, note: str) -> None:
        save(result, args.json)

    result, note = measure(name, config, args, load_source(config.data), device, report, keep)
    show(result, report, note)
    if args.plot is not None:
        draw(result, args.plot)
    for file in (args.json, args.plot):
        if file is not None:
            print(f"wrote {file}")
    return int(failed(result))


def run_all(args: argparse.Namespace) -> int:
    """Every benchmark; those with the same graph in a row load it once."""
    configs = {name: configure(name, args) for name in args.only}
    device, report = _prepare(args, next(iter(configs.values())))

    from ..data import load_source
    from ..system.writing import check_writable
    from .report import machine_name, save_all, show

    out = args.out / machine_name(device)
    check_writable(out.with_name(f"{out.name}.json"))
    results: list[Result] = []
    notes: list[str] = []

    def keep(result: Result, note: str) -> None:
        save_all([*results, result], [*notes, note], out)

    loaded = None
    for name, config in configs.items():
        if loaded is None or loaded[0] != config.data:
            loaded = config.data, load_source(config.data)
        print(f"\nbenchmark {name}", flush=True)
        result, note = measure(name, config, args, loaded[1], device, report, keep)
        show(result, report, note)
        results.append(result)
        notes.append(note)
    for file in save_all(results, notes, out):
        print(f"wrote {file}")
    return int(any(map(failed, results)))


def failed(result: Result) -> bool:
    return any("failed" in row for row in result["rows"])


def configure(name: str, args: argparse.Namespace) -> Config:
    """The experiment that `--config` names, or a generated graph and the benchmark's models."""
    from ..config.reading import load_config

    about = BENCHMARKS[name]
    styled = {k: getattr(args, k) for k in GENERATED if getattr(args, k) is not None}
    if args.config is not None and styled:
        raise InputError(f"--{next(iter(styled))}: not with --config, which names a graph")
    settings = {} if args.config is not None else dict(about.defaults)
    settings |= {f"data.{k}": v for k, v in styled.items()}
    for key in ("layers", "hidden"):
        if about.models and getattr(args, key) is not None:
            settings |= {f"{model}.{key}": getattr(args, key) for model in about.models}
    if name == "distill" and args.kl is not None:
        settings["distillation.kl"] = args.kl
    overrides = [f"{k}={v}" for k, v in settings.items()] + args.set
    if "teacher" in about.models:  # all three run, and what GAT accepts suits the others
        load_config(args.config or "demo", [*overrides, "teacher.model=gat"])
    return load_config(args.config or "demo", overrides)


def _prepare(
    args: argparse.Namespace, config: Config, files: tuple[str, ...] = ()
) -> tuple[torch.device, Reporter]:
    """What can be wrong is found before anything is measured."""
    from ..present.console import Reporter
    from ..system.runtime import resolve_device
    from ..system.writing import check_writable
    from .harness import set_threads

    for name in files:
        if getattr(args, name) is not None:
            check_writable(getattr(args, name), f"--{name}")
    device = resolve_device(args.device or config.train.device)
    set_threads(args.threads)
    return device, Reporter(args.quiet)


def measure(
    name: str,
    config: Config,
    args: argparse.Namespace,
    dataset: NodeDataset,
    device: torch.device,
    report: Reporter,
    keep: Callable[[Result, str], None],
) -> tuple[Result, str]:
    """A benchmark's result, and what its reader should know beside the figures.

    `keep` is given both after every contender's turn, with the rows so far.
    """
    from . import distill, harness, inference, influence, propagate, train
    from .report import as_result

    if name in ("spmm", "propagate") and args.hub is not None:
        dataset = propagate.with_hub(dataset, args.hub)
    size: Row = {
        "graph": dataset.name if config.data.name != "synthetic" else config.data.style,
        "nodes": dataset.num_nodes,
        "edges": dataset.num_edges,
        "largest_degree": int(dataset.csr.row_lengths.max()) - 1,
        "features": dataset.num_features,
    }
    contenders: list[Contender]
    note = ""
    try:
        if name == "influence":
            size["hops"] = 2
            contenders = influence.contenders(dataset, device, args.blocked)
        elif name in ("spmm", "propagate"):
            hops = args.hops if name == "propagate" else None
            roofs = propagate.roofs(dataset, hops or 1, harness.copy_bandwidth(device))
            size |= roofs if hops is None else {"hops": hops, **roofs}
            copied, once, every = roofs.values()
            note = (
                f"copy {copied:.1f} GB/s: every row read once {once:.4g} s (what roof share is "
                f"of), once per edge {every:.4g} s"
            )
            contenders = propagate.contenders(dataset, hops, device, once)
        else:
            module = {"distill": distill, "inference": inference, "train": train}[name]
            size |= {"classes": dataset.num_classes, **module.size(config)}
            note = module.NOTE
            contenders = module.contenders(config, dataset, device)
    except Exception as error:
        if not harness.is_out_of_memory(error):
            raise
        shared = "graph and features"
        contenders = [harness.Contender(shared, missing=harness.OUT_OF_MEMORY)]
    result = as_result(name, size, [])

    def keep_rows(rows: list[Row]) -> None:
        result["rows"] = rows
        keep(result, note)

    keep_rows(harness.measure(contenders, args.repeat, device, report, keep_rows))
    return result, note


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a positive integer, found {text!r}")
    return int(text)
