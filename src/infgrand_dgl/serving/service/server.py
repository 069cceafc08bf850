"""The process: a socket, uvicorn, signals, the log."""

import asyncio
import gc
import json
import logging
import socket
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from ...errors import InputError
from .model import Limits

HEAD = 1 << 16  # bytes of a request's line and headers
DRAIN = 30  # seconds that requests have which were taken before the end


def listener(host: str, port: int, seconds: float) -> socket.socket:
    """
    Args:
        seconds: that a client has to take what it is sent.

    Raises:
        InputError: the address is taken, or none of this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        made = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise InputError(f"--host {host} --port {port}: {error.strerror or error}") from None
    # Which its connections inherit. (asyncio does the first, where a socket names its protocol.)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * seconds))
    return made


def serve(app: FastAPI, listening: socket.socket, limits: Limits) -> None:
    """Until SIGINT or SIGTERM: then it takes no more, and ends when all it took is answered."""
    gc.collect()
    gc.freeze()  # what is there by now would be looked at again and again, 0.2 s each time
    with suppress(SystemExit, KeyboardInterrupt):  # raised once more when all is done
        server(app, limits).run(sockets=[listening])


def server(app: FastAPI, limits: Limits) -> uvicorn.Server:
    class Connection(Impatient):
        seconds = limits.seconds

    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=limits.connections,
            timeout_graceful_shutdown=DRAIN,
        )
    )


class Impatient(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """A connection that ends where its client takes its time over the head of a request, or sends
    one without end. (Bodies are the gate's; answers that nobody reads, the socket's.)"""

    seconds: float
    timer: asyncio.TimerHandle | None = None
    head = 0  # bytes

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._settle()
        else:
            self._wait()
            self.head += len(data)
            if self.head > HEAD:
                self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self.timer is None:
            self.timer = self.loop.call_later(self.seconds, self.transport.abort)

    def _settle(self) -> None:
        self.head = 0
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Log:
    """Lines of JSON on stderr: `time`, `event`, and what belongs to it.

    Args:
        requests: each has a line; failures and what uvicorn says have one anyway.
    """

    def __init__(self, requests: bool = True) -> None:
        self.requests = requests
        logger = logging.getLogger("uvicorn.error")
        logger.handlers, logger.propagate = [_Told(self)], False
        logger.setLevel(logging.WARNING)

    def __call__(self, event: str, **said: Any) -> None:
        if self.requests or event != "request":
            time = datetime.now(UTC).isoformat(timespec="milliseconds")
            print(json.dumps({"time": time, "event": event, **said}), file=sys.stderr, flush=True)


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
