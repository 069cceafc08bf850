"""`main`: parse, run, and turn errors and signals into messages and exit codes."""

import logging
import os
import shlex
import signal
import sys
from collections.abc import Sequence

from ..errors import InputError
from .parser import build_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command. 0: done; 1: failed; 2: bad usage or input; 130, 143: interrupted."""
    try:
        args = build_parser().parse_args(argv)
    except InputError as error:  # a plugin cannot be loaded
        _complain(f"error: {error}", error)
        return 2
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
        reason = ", as when another process of this run has failed" if together else ""
        _complain(f"terminated{reason}", error)
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


def _complain(message: str, error: BaseException) -> None:
    """On stderr, in one line: what happened, and how to go on where a note on the error says so."""
    notes = getattr(error, "__notes__", ())
    print("; ".join([f"infgrand-dgl: {message}", *notes]), file=sys.stderr)
