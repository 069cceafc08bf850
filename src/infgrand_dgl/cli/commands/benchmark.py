"""`infgrand-dgl benchmark`: one command for each of `benchmark.command.BENCHMARKS`, and all."""

import argparse

from ...benchmark import command as benchmark
from .. import options
from ..command import Command, Group


def _one(name: str, about: str) -> Command:
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.set_defaults(benchmark=name)
        benchmark.add_arguments(parser, name)

    example = f"--style products --nodes 100000 --json {name}.json"
    return Command(
        about,
        f"infgrand-dgl benchmark {name} {example}",
        benchmark.run,
        (options.quiet,),
        add_arguments,
    )


_ALL = Command(
    "every benchmark, into <machine>.json and a table in <machine>.md",
    "infgrand-dgl benchmark all --only influence propagate --style products --out results",
    benchmark.run_all,
    (options.quiet,),
    lambda parser: benchmark.add_arguments(parser, "all"),
)

command = Group(
    "time our kernels and models beside others'",
    {name: _one(name, of.about) for name, of in benchmark.BENCHMARKS.items()} | {"all": _ALL},
    kind="benchmark",
    place=11,
)
