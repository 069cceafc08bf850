"""What a service serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..answers import Ask
from ..specification import Specification

if TYPE_CHECKING:
    import pandas as pd


class Nodes(Protocol):
    """The nodes of a run, N of them, whose inputs it keeps.

    Args:
        ids: distinct integers or text, where they are not the rows; nodes of updates have none.
    """

    num_nodes: int
    ids: pd.Index | None

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Inputs of nodes, float32 `[n, width]`."""


class Graph(Protocol):
    """What nodes join."""

    num_features: int
    weighted: bool

    def new(self, features: Any, edges: Any, weights: Any, *, cached: bool) -> np.ndarray:
        """As `Predictor.new`: what the student says of them, float32 `[n, C]`.

        Raises:
            InputError: it cannot be said of these features.
        """


@dataclass(frozen=True)
class Model:
    """
    Args:
        ask: called by one thread at a time.
        platform: what runs it, as the protocol calls it: `<framework>_<format>`.
        nodes: of a run; None: an export, which has none.
        graph: of a run, where it is loaded.
    """

    specification: Specification
    ask: Ask
    platform: str
    nodes: Nodes | None = None
    graph: Graph | None = None


@dataclass(frozen=True)
class Limits:
    """
    Args:
        rows: the most of one request, and that are asked together.
        bytes: the most of a request's body.
        seconds: in which a request must have come, and what of the answer is sent must be taken.
        waiting: rows, of all requests that wait.
        connections: at a time.
    """

    rows: int = 4096
    bytes: int = 16 << 20
    seconds: float = 30.0
    waiting: int = 1 << 16
    connections: int = 1024
