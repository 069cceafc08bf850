"""The process: a socket, uvicorn, signals."""

import asyncio
import gc
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from ...errors import InputError
from .model import Limits

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
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--host {host} --port {port}: {reason}") from None
    # Which its connections inherit. (asyncio does the first, where a socket names its protocol.)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * seconds))
    return made


def serve(
    app: FastAPI, listening: socket.socket, limits: Limits, on_start: Callable[[], object]
) -> None:
    """Until SIGINT or SIGTERM: then it takes no more, and ends when all it took is answered.

    Args:
        on_start: called when it answers.
    """
    gc.collect()
    gc.freeze()  # what is there by now would be looked at again and again, 0.2 s each time
    with suppress(SystemExit, KeyboardInterrupt):  # raised once more when all is done
        Server(app, limits, on_start).run(sockets=[listening])


class Server(uvicorn.Server):
    def __init__(
        self, app: FastAPI, limits: Limits, on_start: Callable[[], object] = lambda: None
    ) -> None:
        class Connection(Bounded):
            seconds, most = limits.seconds, limits.connections

        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=DRAIN,
            )
        )
        self.on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_start()


class Bounded(H11Protocol):
    """A connection that ends where its client takes its time over the head of a request, or where
    there are too many. (Bodies are the gate's; answers that nobody reads, the socket's.)"""

    seconds: float
    most: int
    timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > self.most:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._settle()
        else:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self.timer is None:
            self.timer = self.loop.call_later(self.seconds, self.transport.abort)

    def _settle(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
