"""`main`: parse, run, and turn errors and signals into messages and exit codes."""

import logging
import os
import shlex
import signal
import sys
from collections.abc import Sequence

from ..errors import InputError, one_line
from ..present.notes import Notes, release_notes
from .parser import build_parser
from .signals import signals_end


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command. 0: done; 1: failed; 2: bad usage or input; 130, 143: interrupted."""
    with signals_end() as received:
        try:
            return _run(argv)
        except BaseException as error:
            status = _explained(error, received)
            if status is None:
                raise
            return status


def _run(argv: Sequence[str] | None) -> int:
    args = build_parser().parse_args(argv)
    args.command = shlex.join(["infgrand-dgl", *(sys.argv[1:] if argv is None else argv)])
    logging.basicConfig(
        format="infgrand-dgl: %(message)s",
        level=logging.INFO if args.verbose else logging.WARNING,
        handlers=[Notes()],
    )
    status = args.run_command(args)
    release_notes()
    sys.stdout.flush()
    return status or 0


def _explained(error: BaseException, received: Sequence[int]) -> int | None:
    """The exit status of an error, which is told; None: it is to be raised.

    Args:
        received: the signals that came: what foreign code makes of them may look like a failure.
    """
    terminated = 128 + signal.SIGTERM
    by_sigterm = isinstance(error, SystemExit) and error.code == terminated
    if signal.SIGTERM in received or by_sigterm:
        together = int(os.environ.get("WORLD_SIZE", "1")) > 1
        reason = ", as when another process of this run has failed" if together else ""
        _complain(f"terminated{reason}", error)
        return terminated
    if received or isinstance(error, KeyboardInterrupt):
        _complain("interrupted", error)
        return 128 + signal.SIGINT
    if isinstance(error, InputError):
        logging.getLogger(__name__).info("where it came from", exc_info=error)
        _complain(f"error: {error}", error)
        return 2
    if isinstance(error, BrokenPipeError):  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    if isinstance(error, OSError):  # a full disk, an unreadable file
        logging.getLogger(__name__).info("where it came from", exc_info=error)
        _complain(f"error: {error.filename or 'system'}: {error.strerror or error}", error)
        return 1
    return None


def _complain(message: str, error: BaseException) -> None:
    """On stderr, in one line: what happened, and how to go on where a note on the error says so."""
    notes = getattr(error, "__notes__", ())
    print(one_line("; ".join([f"infgrand-dgl: {message}", *notes])), file=sys.stderr)
