"""The paths of a service, and what OpenAPI says of them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException

from ...errors import InputError
from . import predictions, protocol
from .batching import Batcher, quick_rows
from .gate import Gate, Say, answer_of
from .metrics import CONTENT_TYPE, Metrics
from .model import Graph, Limits, Model
from .refusal import Refusal, explained_first, refused
from .schema import check_finite

Rows = Callable[[], np.ndarray]
Asked = Callable[[Request, int, Rows], Awaitable[dict[str, np.ndarray]]]
REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Refusal, "description": "It cannot be answered, and why."},
    503: {"model": Refusal, "description": "Too many rows wait already."},
}
JOINING = 64  # requests about new nodes that may wait for each other


def application(model: Model, limits: Limits, say: Say = lambda **said: None) -> FastAPI:
    """The service as an ASGI application.

    Args:
        say: is told of every request, in keywords.
    """
    specification, metrics = model.specification, Metrics()
    row = np.zeros((1, specification.inputs.width), specification.dtype)
    quick = quick_rows(model.ask, row, limits.rows)
    batcher = Batcher(model.ask, limits.rows, limits.waiting, quick, metrics.batches.observe)
    metrics.waiting.set_function(lambda: batcher.waiting)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        batcher.close()

    app = FastAPI(
        title=specification.name,
        version=version("infgrand-dgl"),
        summary=f"A student ({specification.method}) of {specification.dataset}.",
        responses=REFUSALS,
        redoc_url=None,
        lifespan=lifespan,
    )

    async def asked(request: Request, count: int, rows: Rows) -> dict[str, np.ndarray]:
        """What the model says of finite rows, made by `rows`; that is finite, too."""
        try:
            said = await batcher(count, rows)
        except asyncio.QueueFull:
            raise HTTPException(503, "too many rows wait already", {"retry-after": "1"}) from None
        for name, values in said.items():
            check_finite(values, f"{name}: of numbers so large")
        request.state.rows = count
        return said

    _health(app)
    _open_inference(app, model, limits, asked)
    if model.nodes is not None:
        _nodes(app, model, limits, asked)
    if model.graph is not None:
        _new_nodes(app, model, limits)

    @app.get("/metrics", tags=["metrics"], responses={200: {"content": {"text/plain": {}}}})
    async def prometheus() -> Response:
        """For Prometheus."""
        return Response(metrics.text(), headers={"content-type": CONTENT_TYPE})

    _refusals(app, specification.name)
    paths = [route.path for route in app.routes if hasattr(route, "path")]
    app.add_middleware(Gate, limits=limits, metrics=metrics, paths=paths, say=say)
    return app


def _health(app: FastAPI) -> None:
    @app.get("/v2/health/live", tags=["health"])
    async def live() -> dict[str, bool]:
        """Whether the server answers."""
        return {"live": True}

    @app.get("/v2/health/ready", tags=["health"])
    async def ready() -> dict[str, bool]:
        """Whether its model does."""
        return {"ready": True}

    @app.get("/v2", tags=["health"])
    async def server() -> protocol.Server:
        """The server's metadata."""
        return protocol.Server()


def _open_inference(app: FastAPI, model: Model, limits: Limits, asked: Asked) -> None:
    specification, router = model.specification, APIRouter(tags=["model"])
    schema = protocol.body_of(specification, limits.rows, binary=True)
    body = _described(app, protocol.body_of(specification, limits.rows))

    @router.get("/ready")
    async def model_ready() -> protocol.ModelReady:
        """Whether the model answers."""
        return protocol.ModelReady(name=specification.name, ready=True)

    @router.get("")
    async def metadata() -> protocol.ModelMetadata:
        """The model's metadata."""
        return protocol.metadata(model)

    @router.post("/infer", openapi_extra=body, response_model=protocol.InferResponse)
    async def infer(request: Request) -> Response:
        """Rows to what the model says of them, in JSON, or with tensors as bytes after it."""
        header = request.headers.get(protocol.HEADER)
        wanted = protocol.parse(await request.body(), header, schema, specification)
        answers = await asked(request, len(wanted.x), lambda: wanted.x)
        said, binary = protocol.response(wanted, answers, specification)
        content = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {protocol.HEADER: str(len(content))} if binary else {}
        media = "application/octet-stream" if binary else "application/json"
        return Response(content + binary, headers=headers, media_type=media)

    path = _path(specification.name)
    app.include_router(router, prefix=path)
    versioned = f"{path}/versions/{protocol.VERSION}"
    app.include_router(router, prefix=versioned, include_in_schema=False)


def _path(name: str) -> str:
    return f"/v2/models/{name}"


def _nodes(app: FastAPI, model: Model, limits: Limits, asked: Asked) -> None:
    specification, nodes = model.specification, model.nodes
    assert nodes is not None
    Body = predictions.by_ids(specification, nodes, limits.rows)

    @app.post("/predict", tags=["nodes"], response_model=predictions.answer_of(specification))
    async def predict(request: Request, body: Body) -> Response:  # type: ignore[valid-type]
        """Nodes of the run, by rows, or by ids where it has some that are others."""
        rows = predictions.rows_of(body, nodes)
        said = await asked(request, len(rows), partial(nodes.rows, rows))
        return _predicted(rows, said[specification.answers[-1]], model, body)


def _new_nodes(app: FastAPI, model: Model, limits: Limits) -> None:
    specification, nodes, graph = model.specification, model.nodes, model.graph
    assert nodes is not None and graph is not None
    N = nodes.num_nodes
    Body = predictions.newcomers(specification, graph, N, limits.rows)
    thread, waiting = ThreadPoolExecutor(1, "graph"), asyncio.Semaphore(JOINING)

    @app.post("/predict/new", tags=["nodes"], response_model=predictions.answer_of(specification))
    async def predict_new(request: Request, body: Body) -> Response:  # type: ignore[valid-type]
        """Nodes that join the graph, by features and neighbours, for this request alone."""
        if waiting.locked():
            raise HTTPException(503, "too many requests wait already", {"retry-after": "1"})
        work = partial(_joined, body, graph, N)
        async with waiting:
            try:
                said = await asyncio.get_running_loop().run_in_executor(thread, work)
            except InputError as error:
                raise refused(400, str(error)) from None
        check_finite(said, f"{specification.answers[-1]}: of numbers so large")
        request.state.rows = len(said)
        return _predicted(np.arange(N, N + len(said)), said, model, body)


def _joined(body: Any, graph: Graph, num_nodes: int) -> np.ndarray:
    features, edges, weights = predictions.joining(body, graph, num_nodes)
    return graph.new(features, edges, weights, cached=body.mode == "cached")


def _predicted(rows: np.ndarray, said: np.ndarray, model: Model, body: Any) -> Response:
    assert model.nodes is not None
    heads, top = predictions.called(rows, model.nodes.ids), getattr(body, "top", 1)
    each = predictions.predictions(heads, said, model.specification, top)
    return JSONResponse({"predictions": each})


def _described(app: FastAPI, schema: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of a body that FastAPI does not read."""
    place = "#/components/schemas/{model}"
    refs, described = models_json_schema([(schema, "validation")], ref_template=place)
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        document["components"]["schemas"] |= described["$defs"]
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    content = {"application/json": {"schema": refs[schema, "validation"]}}
    return {"requestBody": {"required": True, "content": content}}


def _refusals(app: FastAPI, name: str) -> None:
    """Every error is one line of JSON."""

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404 and error.detail == "Not Found":
            error = refused(404, f"{request.url.path}: nothing is here; the model is {_path(name)}")
        return answer_of(error)

    @app.exception_handler(RequestValidationError)
    async def body(request: Request, error: RequestValidationError) -> Response:
        if isinstance(error.body, bytes):  # FastAPI reads no other type, and passes the bytes on
            found = request.headers.get("content-type", "none")[:80]
            return answer_of(
                refused(415, f"Content-Type: expected application/json, found {found}")
            )
        return answer_of(refused(400, explained_first(error.errors())))

    @app.exception_handler(Exception)
    async def failure(request: Request, error: Exception) -> Response:  # which is raised again
        return JSONResponse({"error": "the server failed; its log says why"}, 500)
