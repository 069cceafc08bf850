"""The log of a service: lines of JSON on stderr."""

import json
import logging
import queue
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

WAITING = 10_000  # lines


class Log:
    """`time`, `event`, and what belongs to it. Where nobody reads lines, requests are answered all
    the same, and lines are lost; the next one that is written says how many.

    Args:
        requests: each has a line; failures and what uvicorn says have one anyway.
    """

    def __init__(self, requests: bool = True, to: TextIO | None = None) -> None:
        self.requests, self.to = requests, to or sys.stderr
        self.lines: queue.Queue[dict[str, Any] | None] = queue.Queue(WAITING)
        self.lost = 0
        self.thread = threading.Thread(target=self._write, name="log", daemon=True)
        self.thread.start()
        logger = logging.getLogger("uvicorn.error")
        logger.handlers, logger.propagate = [_Told(self)], False
        logger.setLevel(logging.WARNING)

    def __call__(self, event: str, **said: Any) -> None:
        if event == "request" and not self.requests:
            return
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        lost = {"lost_lines": self.lost} if self.lost else {}
        try:
            self.lines.put_nowait({"time": time, "event": event, **said, **lost})
            self.lost = 0
        except queue.Full:
            self.lost += 1

    def close(self, seconds: float = 1.0) -> None:
        """Writes what waits, in so much time."""
        try:
            self.lines.put(None, timeout=seconds)
        except queue.Full:
            return
        self.thread.join(seconds)

    def _write(self) -> None:
        while (line := self.lines.get()) is not None:
            try:
                print(json.dumps(line), file=self.to, flush=True)
            except OSError:  # nobody reads it any more
                return


class _Told(logging.Handler):
    """What uvicorn says, as lines of the log."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        trace = {"trace": "".join(traceback.format_exception(error))} if error else {}
        level = record.levelname.lower()
        self.log("server", level=level, message=record.getMessage(), **trace)
