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

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            declared = _length(scope)
            if declared > self.limits.bytes:
                error = _too_large(declared, self.limits)
                answer = JSONResponse({"error": error.detail}, error.status_code, CLOSE)
                await answer(scope, receive, sending)
            else:
                await self.app(scope, self.limited(receive), sending)
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

    def limited(self, receive: Receive) -> Receive:
        """A body that is too large, too slow or cut off ends with a refusal."""
        deadline = asyncio.get_running_loop().time() + self.limits.seconds
        found, more = 0, True

        async def receiving() -> Message:
            nonlocal found, more
            if not more:  # whether the client is still there
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                seconds = f"{self.limits.seconds:g} s"
                raise HTTPException(408, f"body: not there after {seconds}", CLOSE) from None
            if message["type"] == "http.disconnect":
                raise refused(400, "body: the client went away")
            found += len(message.get("body", b""))
            more = message.get("more_body", False)
            if found > self.limits.bytes:
                raise _too_large(found, self.limits)
            return message

        return receiving


def _length(scope: Scope) -> int:
    """Of the body, as it is declared; HTTP's own reader has checked the header."""
    return next((int(v) for name, v in scope["headers"] if name == b"content-length"), 0)


def _too_large(found: int, limits: Limits) -> HTTPException:
    detail = f"body: at most {limits.bytes:,} bytes, found {found:,}"
    return HTTPException(413, detail, CLOSE)


def answer_of(error: Any) -> JSONResponse:
    """Of an HTTPException."""
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)
