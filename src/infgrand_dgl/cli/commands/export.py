"""`infgrand-dgl export`"""

import argparse

from .. import options
from ..command import Command

FORMATS = ["onnx", "torch", "triton", "safetensors"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    options.student(parser)
    add("--format", choices=FORMATS, required=True, help="triton: a model repository; torch: .pt2")
    options.out(parser, "a folder: the model, its specification, its card", metavar="DIR")
    options.calibrated(parser)
    dtypes = ["float32", "float16"]
    add("--dtype", choices=dtypes, default="float32", help="of weights and inputs")
    add("--name", help="of the model, as servers know it (default: its dataset's)")
    add("--overwrite", action="store_true", help="replace the export that is there")


def run(args: argparse.Namespace) -> None:
    from ...experiment.directory import RunDirectory
    from ...experiment.exporting import export_run
    from ...serving.formats import find

    run = RunDirectory.open(args.run)
    seed = run.best_seed() if args.seed is None else args.seed
    done = export_run(
        run,
        seed,
        args.format,
        args.out,
        dtype=args.dtype,
        name=args.name,
        calibrated=args.calibrated,
        overwrite=args.overwrite,
    )
    if not args.quiet:
        size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
        print(
            f"student of seed {seed} as {find(args.format).label}, {args.dtype}, {size:,} bytes; "
            f"asked about {done.rows:,} nodes its answers differ from the student's by at most "
            f"{done.difference:.1e} of 1 + the largest; wrote {args.out}"
        )


command = Command(
    "a run's student as ONNX, .pt2, a Triton repository or safetensors, checked against itself",
    "infgrand-dgl export --run runs/cora --format onnx --out exports/cora\n"
    "infgrand-dgl export --run runs/cora --format triton --dtype float16 --out models",
    run,
    (options.quiet,),
    add_arguments,
    place=5,
)
