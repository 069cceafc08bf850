"""Models that are served, and a service of this process."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("fastapi")

from infgrand_dgl.serving.answers import Answers, ask
from infgrand_dgl.serving.service.app import application
from infgrand_dgl.serving.service.model import Limits, Model
from infgrand_dgl.serving.service.server import Server, listener

from ..students import OUTPUTS, WIDTH, specification, student

N, D = 50, 4


class Nodes:
    num_nodes = N
    ids: pd.Index | None = None

    def __init__(self) -> None:
        self.inputs = np.random.randn(N, WIDTH).astype(np.float32)

    def rows(self, ids: np.ndarray) -> np.ndarray:
        return self.inputs[ids]


class Graph:
    """Says back what it is asked: of new node i the class 0 has the sum of its features, class 1
    that of the ids of its neighbours, class 2 that of their weights, class 3 whether it is cached.
    """

    num_features = D

    def __init__(self, weighted: bool) -> None:
        self.weighted = weighted

    def new(self, features: Any, edges: Any, weights: Any, *, cached: bool) -> np.ndarray:
        said = np.zeros((len(features), OUTPUTS), np.float32)
        said[:, 0] = features.sum(axis=1)
        np.add.at(said[:, 1], edges[:, 0] - N, edges[:, 1])
        if weights is not None:
            np.add.at(said[:, 2], edges[:, 0] - N, weights)
        said[:, 3] = cached
        return said


def model(kind: str = "mlp", weighted: bool = False, **changes: Any) -> Model:
    made = student(kind)
    said = specification(kind, made, **changes)
    nodes, graph = Nodes(), Graph(weighted)
    return Model(said, ask(Answers(made, said).eval()), "pytorch_safetensors", nodes, graph)


@dataclass
class Served:
    port: int
    log: list[dict[str, Any]]
    stop: Callable[[], None]


@contextmanager
def serving(made: Model, limits: Limits = Limits()) -> Iterator[Served]:  # noqa: B008
    """A service on a free port of this machine, until the block ends."""
    log: list[dict[str, Any]] = []
    app = application(made, limits, lambda **said: log.append(said))
    listening = listener("127.0.0.1", 0, limits.seconds)
    running = Server(app, limits)
    thread = threading.Thread(target=running.run, args=([listening],), daemon=True)

    def stop() -> None:
        running.should_exit = True
        thread.join(20)
        assert not thread.is_alive()

    thread.start()
    try:
        yield Served(listening.getsockname()[1], log, stop)
    finally:
        stop()
        listening.close()
