"""What every request passes: limits of size and time, a line in the log, a count."""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .metrics import Metrics
from .model import Limits
from .refusal import refused

OTHER = "other"  # than the paths that are there
CLOSE = {"connection": "close"}  # what is left of the body is not waited for

Say = Callable[..., object]


class Gate:
    """
    Args:
        paths: that are counted by their name.
        say: is told of every request, in keywords.
    """

    def __init__(
        self, app: ASGIApp, limits: Limits, metrics: Metrics, paths: Collection[str], say: Say
    ) -> None:
        self.app, self.limits, self.metrics = app, limits, metrics
        self.paths, self.say = frozenset(paths), say

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        start, status = time.perf_counter(), 500
        state = scope["state"] = {"rows": 0}
        body = Body(receive, self.limits)

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                await body.drop(message)
            await send(message)

        try:
            if error := _refusal(scope, self.limits):
                await answer_of(error)(scope, receive, sending)
            else:
                await self.app(scope, body, sending)
        finally:
            seconds = time.perf_counter() - start
            path = scope["path"] if scope["path"] in self.paths else OTHER
            self.metrics.requests.labels(path, status).inc()
            self.metrics.seconds.labels(path).observe(seconds)
            self.metrics.rows.inc(state["rows"])
            self.say(
                event="request",
                method=scope["method"],
                path=scope["path"][:200],
                status=status,
                ms=round(1000 * seconds, 3),
                rows=state["rows"],
            )
        return None


class Body:
    """Of a request, as `receive`; one that is too large, too slow or cut off is refused."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self.receive, self.limits = receive, limits
        self.deadline = asyncio.get_running_loop().time() + limits.seconds
        self.found, self.more = 0, True

    async def __call__(self) -> Message:
        if not self.more:  # whether the client is still there
            return await self.receive()
        try:
            async with asyncio.timeout_at(self.deadline):
                message = await self.receive()
        except TimeoutError:
            seconds = f"{self.limits.seconds:g} s"
            raise HTTPException(408, f"body: not there after {seconds}", CLOSE) from None
        if message["type"] == "http.disconnect":
            raise refused(400, "body: the client went away")
        self.found += len(message.get("body", b""))
        self.more = message.get("more_body", False)
        if self.found > self.limits.bytes:
            raise _too_large(self.found, self.limits)
        return message

    async def drop(self, start: Message) -> None:
        """What is left of it when an answer starts: who still sends would not read the answer."""
        if any(name.lower() == b"connection" for name, _ in start["headers"]):
            return
        try:
            while self.more:
                await self()
        except HTTPException:
            self.more = False
            start["headers"] = [*start["headers"], (b"connection", b"close")]


def _refusal(scope: Scope, limits: Limits) -> HTTPException | None:
    """Of a request whose headers say enough; HTTP's own reader has checked them."""
    headers = dict(scope["headers"])
    if (length := int(headers.get(b"content-length", 0))) > limits.bytes:
        return _too_large(length, limits)
    if (coding := headers.get(b"content-encoding", b"identity")) != b"identity":
        return refused(415, f"content-encoding: expected none, found {coding[:80]!r}")
    return None


def _too_large(found: int, limits: Limits) -> HTTPException:
    detail = f"body: at most {limits.bytes:,} bytes, found {found:,}"
    return HTTPException(413, detail, CLOSE)


def answer_of(error: Any) -> JSONResponse:
    """Of an HTTPException."""
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)
