"""What is measured: tests/benchmark."""

import pytest

from infgrand_dgl.benchmark import command as benchmark
from infgrand_dgl.cli.parser import build_parser


@pytest.mark.parametrize("name", benchmark.BENCHMARKS)
def test_one(name):
    args = build_parser().parse_args(["benchmark", name, "--nodes", "50", "-q"])
    assert (args.benchmark, args.run_command) == (name, benchmark.run)
    assert args.nodes == 50 and args.quiet


def test_all():
    args = build_parser().parse_args(["benchmark", "all", "--only", "spmm"])
    assert args.only == ["spmm"] and args.run_command == benchmark.run_all
