"""`infgrand-dgl influence`"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from .. import options
from ..command import Command

if TYPE_CHECKING:
    from ...influence.compute import Influence
    from ...influence.scores import Spread


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.out(parser, "influence.npy")
    options.split_seed(parser)
    options.device(parser)


def run(args: argparse.Namespace) -> None:
    from ..loading import load

    config, dataset, runtime, report = load(args, scores=True)

    import numpy as np

    from ...influence.compute import influence
    from ...influence.scores import flat_warning, spread
    from ...registry import measures
    from ...system.arrays import load_array
    from ...system.writing import writing
    from ...training.logits import load_logits

    logits, measure = None, measures[config.influence.measure]
    if measure.needs_teacher:
        if config.teacher.logits is None:
            expected = "needs teacher.logits, a file [N, C]"
            raise InputError(f"influence.measure: {measure.name} {expected}")
        path, N = Path(config.teacher.logits), dataset.num_nodes
        # Without labels there are as many classes as the file has columns.
        classes = dataset.num_classes or load_array(path, mmap=True).size // N
        logits = load_logits(path, N, classes)
    with writing(args.out) as partial:
        with report.bar("influence") as bar:
            start = time.perf_counter()
            runtime = replace(runtime, scratch=partial.parent, progress=bar.update)
            result = influence(config, dataset, runtime, logits=logits)
            seconds = time.perf_counter() - start
            bar.result = f"{seconds:.2f} s"
        with partial.open("wb") as file:
            np.save(file, result.scores.cpu().numpy())
    distribution = spread(result.scores)
    _print(result, distribution, seconds)
    if distribution.flat and not measure.constant:
        report.warn(flat_warning(config))
    print(f"wrote {args.out}")


def _print(result: Influence, spread: Spread, seconds: float) -> None:
    scored = int((~result.scores.isnan()).sum())
    print(f"min {spread.min:.6g}  mean {spread.mean:.6g}  max {spread.max:.6g}")
    print("quartiles " + "  ".join(f"{q:.6g}" for q in spread.quartiles))
    print(f"coefficient of variation {spread.coefficient_of_variation:.4f}")
    if result.minimum is not None:
        share = result.minimum.share(scored * scored)
        print(f"minimum cosine {result.minimum.value:.6g}, certified on {share:.2%} of the pairs")
    print(f"{seconds:.2f} s, {scored * scored / seconds:.3g} node pairs per second")


command = Command(
    "global influence score of every node, float32 [N]",
    "infgrand-dgl influence --config experiments/arxiv.yaml --out influence.npy",
    run,
    (options.experiment, options.quiet),
    add_arguments,
    place=2,
)
