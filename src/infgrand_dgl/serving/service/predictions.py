"""Predictions of nodes by their ids, and of new ones: what is asked, and what is said."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, Field, StrictStr

from ..specification import Specification
from ..student import ranked
from .model import Graph, Nodes
from .refusal import refused
from .schema import body, integer, many, number

if TYPE_CHECKING:
    import pandas as pd

MOST_NEIGHBOURS = 1 << 16  # of one new node


class Likely(BaseModel):
    """A class, by its code or name (else its number), and its probability."""

    label: int | str = Field(serialization_alias="class")
    probability: float


class Called(BaseModel):
    """A node."""

    node: int
    """Its row."""
    id: int | str | None = None
    """Where the graph came from, if the run has it."""


class OfClasses(Called):
    """Classification."""

    top: list[Likely]
    """The likeliest classes, likeliest first."""


class OfLabels(Called):
    """Several labels."""

    labels: list[int | str]
    """Those that are likelier than not."""
    probabilities: list[float]
    """Of each label."""


class OfNumbers(Called):
    """Regression."""

    values: list[float]


PREDICTIONS: dict[str, type[BaseModel]] = {
    "classification": OfClasses,
    "multilabel": OfLabels,
    "regression": OfNumbers,
}


def answer_of(specification: Specification) -> type[BaseModel]:
    """The body of an answer."""
    each = PREDICTIONS[specification.task]
    return body("Predictions", predictions=(many(each, None), ...))


def _top(specification: Specification) -> dict[str, Any]:
    """The field that says how many classes are wanted."""
    if specification.task != "classification":
        return {}
    C = specification.outputs
    return {"top": (integer(1, C + 1), Field(1, description="how many of the likeliest classes"))}


def by_ids(specification: Specification, known: Nodes, most_rows: int) -> type[BaseModel]:
    """The body of a request about nodes of the run."""
    nodes = many(integer(0, known.num_nodes), most_rows, description="rows, as often as wanted")
    if known.ids is None:
        return body("Nodes", nodes=(nodes, ...), **_top(specification))
    id = integer(-(2**63), 2**63) if known.ids.dtype.kind in "iu" else StrictStr
    ids = many(id, most_rows, description="instead of rows: ids from where the graph came")
    return body("Nodes", nodes=(nodes | None, None), ids=(ids | None, None), **_top(specification))


def rows_of(asked: Any, known: Nodes) -> np.ndarray:
    """Of the nodes that are asked about, int64 `[n]`.

    Raises:
        HTTPException: 400: nodes and ids, or neither; 404: an id is nobody's.
    """
    ids = getattr(asked, "ids", None)
    if (ids is None) == (asked.nodes is None):
        raise refused(400, "body: expected one of nodes and ids")
    if ids is None or known.ids is None:
        return np.array(asked.nodes, np.int64)
    rows = known.ids.get_indexer(ids)
    if (rows < 0).any():
        place = int((rows < 0).argmax())
        found = reprlib.repr(ids[place])
        raise refused(404, f"ids.{place}: expected an id of the graph's nodes; found {found}")
    return rows


def called(nodes: np.ndarray, ids: pd.Index | None) -> list[dict[str, Any]]:
    """How each of some nodes is called: by its row, and by its id where that is another."""
    if ids is None:
        return [{"node": node} for node in nodes.tolist()]
    known = nodes < len(ids)
    found = ids[np.where(known, nodes, 0)].tolist()
    each = zip(nodes.tolist(), found, known, strict=True)
    return [{"node": node, "id": id if has else None} for node, id, has in each]


def newcomers(
    specification: Specification, graph: Graph, num_nodes: int, most_rows: int
) -> type[BaseModel]:
    """The body of a request about nodes that join the graph."""
    D, id = graph.num_features, integer(0, num_nodes + most_rows)
    weight = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, le=1e30)]
    weighted = body("Neighbour", node=(id, ...), weight=(weight, ...))
    neighbour = id | weighted if graph.weighted else id
    said = f"{num_nodes} and above: the new ones of this request, in their order"
    said += "; an id alone weighs 1" if graph.weighted else ""
    features = many(number("float32"), D, D, "as the dataset's files have them")
    node = body(
        "NewNode",
        features=(features, ...),
        neighbours=(many(neighbour, MOST_NEIGHBOURS, description=said), []),
    )
    mode = Field("exact", description="as of `Predictor.new`")
    return body(
        "NewNodes",
        nodes=(many(node, most_rows), ...),
        mode=(Literal["exact", "cached"], mode),
        **_top(specification),
    )


def joining(asked: Any, graph: Graph, num_nodes: int) -> tuple[np.ndarray, np.ndarray, Any]:
    """Features `[n, D]`, edges `[m, 2]`, and their weights `[m]` where the graph has some.

    Raises:
        HTTPException: 404; a neighbour is nobody.
    """
    n = len(asked.nodes)
    features = np.array([node.features for node in asked.nodes], np.float32)
    edges, weights = [], []
    for place, node in enumerate(asked.nodes):
        for neighbour in node.neighbours:
            id = neighbour if isinstance(neighbour, int) else neighbour.node
            if id >= num_nodes + n:
                known = f"known are 0 to {num_nodes - 1}, new ones {num_nodes} to"
                raise refused(
                    404, f"nodes.{place}.neighbours: {known} {num_nodes + n - 1}; found {id}"
                )
            edges.append((num_nodes + place, id))
            weights.append(1.0 if isinstance(neighbour, int) else neighbour.weight)
    return (
        features.reshape(n, graph.num_features),
        np.array(edges, np.int64).reshape(-1, 2),
        np.array(weights) if graph.weighted else None,
    )


def predictions(
    heads: list[dict[str, Any]], said: np.ndarray, specification: Specification, top: int = 1
) -> list[dict[str, Any]]:
    """
    Args:
        heads: as of `called`, of n nodes.
        said: probabilities or values, `[n, C]`.
    """
    if specification.task == "regression":
        return [head | {"values": row} for head, row in zip(heads, said.tolist(), strict=True)]
    names = specification.classes or range(specification.outputs)
    if specification.task == "multilabel":
        return [
            head
            | {
                "labels": [name for name, p in zip(names, row, strict=True) if p > 0.5],
                "probabilities": row,
            }
            for head, row in zip(heads, said.tolist(), strict=True)
        ]
    likely, order = ranked(torch.from_numpy(said), top)
    return [
        head
        | {"top": [{"class": names[k], "probability": p} for k, p in zip(row, shares, strict=True)]}
        for head, row, shares in zip(heads, order.tolist(), likely.tolist(), strict=True)
    ]
