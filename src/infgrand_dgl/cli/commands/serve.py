"""`infgrand-dgl serve`"""

import argparse

from .. import options
from ..command import Command

PORT = options.integer(0, 65535)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    options.student(parser, "a run directory, or a folder that export wrote")
    options.calibrated(parser)
    add("--host", default="127.0.0.1", help="to listen on (default: this machine alone)")
    add("--port", type=PORT, default=8000, help="0: one that is free (default: 8000)")
    add("--no-graph", action="store_true", help="of a run: without /predict/new, which loads it")
    rows = options.integer(1, 1 << 20)
    add("--max-rows", type=rows, default=4096, help="of a request (default: 4096)")
    seconds = options.integer(1, 3600)
    help = "in which a request must have come (default: 30)"
    add("--timeout", type=seconds, default=30, metavar="SECONDS", help=help)
    megabytes = options.integer(1, 1 << 10)
    help = "of a request's body, in MiB (default: 16)"
    add("--max-body", type=megabytes, default=16, metavar="MIB", help=help)


def run(args: argparse.Namespace) -> None:
    from ...serving.service import PACKAGES
    from ...system.installed import require

    require(PACKAGES, "serve", "serve")
    from ...experiment.service import model_of
    from ...serving.service.app import application
    from ...serving.service.log import Log
    from ...serving.service.model import Limits
    from ...serving.service.server import listener, serve

    model = model_of(args.run, args.seed, calibrated=args.calibrated, graph=not args.no_graph)
    limits = Limits(args.max_rows, args.max_body << 20, args.timeout)
    log = Log(requests=not args.quiet)
    app = application(model, limits, log)
    listening = listener(args.host, args.port, limits.seconds)
    host, port = listening.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    said = model.specification
    line = f"{said.name} ({said.method}) at {address}, described at {address}/docs"
    serve(app, listening, limits, lambda: print(line, flush=True))
    log.close()


command = Command(
    "a run's student or an export over HTTP, by the Open Inference Protocol",
    "infgrand-dgl serve --run runs/cora\n"
    "infgrand-dgl serve --run exports/cora --host 0.0.0.0 --port 8000",
    run,
    (options.quiet,),
    add_arguments,
    place=7,
)
