"""Predictions of nodes by their ids, and of new ones: what is asked, and what is said."""

from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, Field

from ..specification import Specification
from ..student import ranked
from .model import Graph
from .refusal import refused
from .schema import body, integer, many, number

MOST_NEIGHBOURS = 1 << 16  # of one new node


class Likely(BaseModel):
    """A class, by its code or name (else its number), and its probability."""

    label: int | str = Field(serialization_alias="class")
    probability: float


class OfClasses(BaseModel):
    """Classification."""

    node: int
    top: list[Likely]
    """The likeliest classes, likeliest first."""


class OfLabels(BaseModel):
    """Several labels."""

    node: int
    labels: list[int | str]
    """Those that are likelier than not."""
    probabilities: list[float]
    """Of each label."""


class OfNumbers(BaseModel):
    """Regression."""

    node: int
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


def by_ids(specification: Specification, num_nodes: int, most_rows: int) -> type[BaseModel]:
    """The body of a request about nodes of the run."""
    nodes = many(integer(0, num_nodes), most_rows, description="ids, as often as wanted")
    return body("Nodes", nodes=(nodes, ...), **_top(specification))


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
    ids: list[int], said: np.ndarray, specification: Specification, top: int = 1
) -> list[dict[str, Any]]:
    """
    Args:
        said: probabilities or values, `[n, C]`.
    """
    if specification.task == "regression":
        return [{"node": id, "values": row} for id, row in zip(ids, said.tolist(), strict=True)]
    names = specification.classes or range(specification.outputs)
    if specification.task == "multilabel":
        return [
            {
                "node": id,
                "labels": [name for name, p in zip(names, row, strict=True) if p > 0.5],
                "probabilities": row,
            }
            for id, row in zip(ids, said.tolist(), strict=True)
        ]
    likely, order = ranked(torch.from_numpy(said), top)
    return [
        {
            "node": id,
            "top": [
                {"class": names[k], "probability": p} for k, p in zip(row, shares, strict=True)
            ],
        }
        for id, row, shares in zip(ids, order.tolist(), likely.tolist(), strict=True)
    ]
