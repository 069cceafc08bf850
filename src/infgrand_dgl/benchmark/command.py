"""`infgrand-dgl benchmark NAME`: arguments, experiment, graph; what is measured is in catalog/.

The command line imports this to parse; everything heavy waits until something is measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .benchmark import Benchmark, Task, positive

if TYPE_CHECKING:
    import torch

    from ..config.schema import Config
    from ..present.console import Reporter
    from .harness import Row
    from .report import Result


def _catalog() -> dict[str, Benchmark]:
    """The benchmarks of the files in catalog/, by name, in their order."""
    files = (Path(__file__).parent / "catalog").glob("[a-z]*.py")
    modules = [import_module(f"{__package__}.catalog.{file.stem}") for file in files]
    ordered = sorted((module.BENCHMARK for module in modules), key=lambda one: one.place)
    return {benchmark.name: benchmark for benchmark in ordered}


BENCHMARKS = _catalog()
GENERATED = {"style": str, "nodes": int, "degree": float, "features": int, "classes": int,
             "homophily": float, "seed": int}  # fmt: skip
SIZES = ("layers", "hidden")  # of a model


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Those of one benchmark, or of "all", which takes every one's."""
    everything = name == "all"
    benchmarks = list(BENCHMARKS.values()) if everything else [BENCHMARKS[name]]
    add = parser.add_argument
    add("--config", metavar="FILE", help="a graph of your own, in YAML")
    add(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="override a setting, e.g. distillation.tau=2",
    )  # fmt: skip
    for key, kind in GENERATED.items():
        add(f"--{key}", type=kind, help="of the generated graph")
    if any(benchmark.models for benchmark in benchmarks):
        for key in SIZES:
            add(f"--{key}", type=int, help="of every model")
    options = {flag: kwargs for one in benchmarks for flag, kwargs in one.options.items()}
    for flag, kwargs in options.items():
        add(flag, **kwargs)
    add("--device", choices=["auto", "cpu", "cuda"])
    add("--threads", type=int, metavar="T", help="of the CPU")
    add("--repeat", type=positive, default=5, metavar="R", help="rounds")
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
    benchmark = BENCHMARKS[args.benchmark]
    config = configure(benchmark, args)
    device, report = _prepare(args, config, ("json", "plot"))

    from ..data import load_source
    from .report import draw, save, show

    def keep(result: Result, note: str) -> None:
        save(result, args.json)

    task = Task(args, config, load_source(config.data), device)
    result, note = measure(benchmark, task, report, keep)
    show(result, report, note)
    if args.plot is not None:
        draw(result, args.plot)
    for file in (args.json, args.plot):
        if file is not None:
            print(f"wrote {file}")
    return int(failed(result))


def run_all(args: argparse.Namespace) -> int:
    """Every benchmark; those with the same graph in a row load it once."""
    configs = {name: configure(BENCHMARKS[name], args) for name in args.only}
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
        task = Task(args, config, loaded[1], device)
        result, note = measure(BENCHMARKS[name], task, report, keep)
        show(result, report, note)
        results.append(result)
        notes.append(note)
    for file in save_all(results, notes, out):
        print(f"wrote {file}")
    return int(any(map(failed, results)))


def failed(result: Result) -> bool:
    return any("failed" in row for row in result["rows"])


def configure(benchmark: Benchmark, args: argparse.Namespace) -> Config:
    """The experiment that `--config` names, or a generated graph and the benchmark's models."""
    from ..config.reading import load_config
    from ..registry import teachers

    styled = {key: getattr(args, key) for key in GENERATED if getattr(args, key) is not None}
    if args.config is not None and styled:
        raise InputError(f"--{next(iter(styled))}: not with --config, which names a graph")
    settings = {} if args.config is not None else dict(benchmark.defaults)
    settings |= {f"data.{key}": value for key, value in styled.items()}
    options = {f"{model}.{size}": size for model in benchmark.models for size in SIZES}
    for key, option in (options | dict(benchmark.settings)).items():
        if getattr(args, option) is not None:
            settings[key] = getattr(args, option)
    overrides = [f"{k}={v}" for k, v in settings.items()] + args.set
    for model in teachers if "teacher" in benchmark.models else ():  # what each accepts
        load_config(args.config or "demo", [*overrides, f"teacher.model={model}"])
    return load_config(args.config or "demo", overrides)


def _prepare(
    args: argparse.Namespace, config: Config, files: tuple[str, ...] = ()
) -> tuple[torch.device, Reporter]:
    """Checks what can be wrong before anything is measured."""
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
    benchmark: Benchmark, task: Task, report: Reporter, keep: Callable[[Result, str], None]
) -> tuple[Result, str]:
    """A benchmark's result, and what its reader should know beside the figures.

    `keep` is given both after every contender's turn, with the rows so far.
    """
    from . import harness
    from .report import as_result

    task = replace(task, dataset=benchmark.change(task.dataset, task.args))
    size, note = _graph(task), ""
    try:
        size |= benchmark.size(task)
        note = benchmark.note(size)
        contenders = benchmark.contenders(task, size)
    except Exception as error:
        if not harness.is_out_of_memory(error):
            raise
        shared = "graph and features"
        contenders = [harness.Contender(shared, missing=harness.OUT_OF_MEMORY)]
    result = as_result(benchmark.name, size, [])

    def keep_rows(rows: list[Row]) -> None:
        result["rows"] = rows
        keep(result, note)

    rows = harness.measure(contenders, task.args.repeat, task.device, report, keep_rows)
    keep_rows(rows)
    return result, note


def _graph(task: Task) -> Row:
    data, dataset = task.config.data, task.dataset
    return {
        "graph": dataset.name if data.name != "synthetic" else data.style,
        "nodes": dataset.num_nodes,
        "edges": dataset.num_edges,
        "largest_degree": int(dataset.csr.row_lengths.max()) - 1,
        "features": dataset.num_features,
    }
