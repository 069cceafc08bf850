"""`infgrand-dgl propagate`"""

import argparse
from dataclasses import replace

from .. import options
from ..command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.out(parser, "propagated.npy")
    options.split_seed(parser)
    options.device(parser)


def run(args: argparse.Namespace) -> None:
    from ..loading import load

    config, dataset, runtime, report = load(args)

    from ...propagation.inputs import student_inputs
    from ...system.arrays import dtype_name, is_mapped
    from ...system.writing import save_array

    with report.timed("propagate") as bar:
        runtime = replace(runtime, progress=bar.update)
        inputs = student_inputs(config, dataset, runtime, out=args.out)
        if not is_mapped(inputs):
            save_array(args.out, inputs)
    print(f"wrote {args.out}: {dtype_name(inputs.dtype)} {list(inputs.shape)}")


command = Command(
    "the student's inputs, features propagated and pooled, [N, D]; `predict` takes them",
    "infgrand-dgl propagate --config experiments/arxiv.yaml --out propagated.npy",
    run,
    (options.experiment, options.quiet),
    add_arguments,
    place=3,
)
