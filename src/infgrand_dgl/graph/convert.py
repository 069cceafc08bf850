"""A graph in whatever form a caller has it, as a CSRGraph: `as_csr` decides."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from ..errors import InputError
from .csr import CSRGraph
from .weights import WEIGHTS as WEIGHTS
from .weights import are_weights as are_weights
from .weights import as_array, checked, of_edata

if TYPE_CHECKING:
    import networkx as nx

    from .dgl_bridge import DGLGraph

GraphLike: TypeAlias = Any
"""A DGLGraph; a CSRGraph; edge_index `[2, E]`, a tensor or array of integers; a SciPy or torch
sparse matrix `[N, N]`; a NetworkX graph; PyG's `Data`."""

TAKEN = (
    "a DGLGraph, a CSRGraph, edge_index [2, E] (a tensor or array of integers), a sparse matrix "
    "[N, N] (SciPy, or torch COO or CSR), a NetworkX graph or PyG's Data"
)
SPARSE = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc)


class Edges(NamedTuple):
    """int64 `[E]` each, on the CPU, and the number of nodes.

    Args:
        mirror: how a user of that kind adds the reverse of every edge.
        weights: of the edges, 0 or more, float32 `[E]`; None: they have none.
    """

    source: np.ndarray
    target: np.ndarray
    num_nodes: int
    mirror: str
    weights: np.ndarray | None = None


def as_csr(
    graph: GraphLike, device: torch.device | str = "cpu", num_nodes: int | None = None
) -> CSRGraph:
    """A CSRGraph as it is, any other graph as the paper's undirected one; on `device`.

    Nodes of NetworkX that are 0 to N - 1 keep their numbers, others are numbered in the order of
    `graph.nodes`.

    Weights are edata (DGL), an attribute (NetworkX) of a name in WEIGHTS, `edge_weight` (PyG), or
    the values of a matrix for which `are_weights` says so. Other values count parallel edges, which
    are merged; a stored zero is no edge. Parallel edges with weights add up.

    Args:
        num_nodes: N, which edge_index does not say; by default one more than its largest id.

    Raises:
        InputError: anything but a `GraphLike`, ids out of range, weights that are negative or not
            finite, an edge without its reverse, or with one of another weight.
    """
    if isinstance(graph, CSRGraph):
        return graph.to(device)
    return CSRGraph.mirrored(*edges_of(graph, num_nodes)).to(device)


def edges_of(graph: GraphLike, num_nodes: int | None = None) -> Edges:
    """The edges of a graph of any kind, as they are listed (see `as_csr`)."""
    if isinstance(graph, CSRGraph):
        rows = torch.repeat_interleave(graph.row_lengths).cpu().numpy()
        columns = graph.indices.cpu().numpy().astype(np.int64)
        weights = None if graph.weights is None else graph.weights.cpu().numpy()
        return Edges(columns, rows, graph.num_rows, "", weights)
    if _is(graph, "dgl", "DGLGraph"):
        return _of_dgl(graph)
    if _is(graph, "networkx", "Graph"):
        return _of_networkx(graph)
    if sp.issparse(graph):
        return _of_matrix(graph.tocoo(), "graph + graph.T adds it")
    if isinstance(graph, Tensor) and graph.layout in SPARSE:
        matrix = graph.detach().cpu().to_sparse_coo().coalesce()
        entries = (as_array(matrix.values()), matrix.indices().numpy())
        if matrix.dense_dim() or matrix.ndim != 2:
            raise InputError(f"graph: expected a matrix [N, N], found {list(matrix.shape)}")
        return _of_matrix(sp.coo_matrix(entries, matrix.shape), "graph + graph.T adds it")
    if isinstance(graph, Tensor | np.ndarray):
        return _of_index(graph, num_nodes)
    index = getattr(graph, "edge_index", None)
    if isinstance(index, Tensor | np.ndarray):
        return _of_pyg(graph, index, num_nodes)
    raise InputError(f"graph: expected {TAKEN}; found {type(graph).__name__}")


def _is(graph: Any, package: str, name: str) -> bool:
    """Whether it is one of a package's, which is not imported for that: it has been, if so."""
    module = sys.modules.get(package)
    return module is not None and isinstance(graph, getattr(module, name))


def _of_dgl(graph: DGLGraph) -> Edges:
    from .dgl_bridge import homogeneous

    if not homogeneous(graph):
        raise InputError("graph: expected one node type and one edge type, found several")
    if graph.is_block:
        raise InputError("graph: expected a whole graph, found a sampled block")
    source, target = (ids.cpu().long().numpy() for ids in graph.edges())
    weights = of_edata(graph)
    found = None if weights is None else weights.numpy()
    return Edges(source, target, graph.num_nodes(), "dgl.to_bidirected(graph) adds it", found)


def _of_networkx(graph: nx.Graph) -> Edges:
    nodes, N = list(graph.nodes), graph.number_of_nodes()
    if set(nodes) == set(range(N)):
        nodes = list(range(N))
    number = {node: i for i, node in enumerate(nodes)}
    weights = _of_attribute(graph)
    pairs = [(number[u], number[v]) for u, v in graph.edges()]
    source, target = np.array(pairs, np.int64).reshape(-1, 2).T
    if not graph.is_directed():
        source, target = np.append(source, target), np.append(target, source)
        weights = None if weights is None else np.append(weights, weights)
    return Edges(source, target, N, "graph.to_undirected() adds it", weights)


def _of_attribute(graph: nx.Graph) -> np.ndarray | None:
    """The weights in NetworkX; where an edge has none, it is 1, as NetworkX takes it."""
    names = {name for *_, data in graph.edges(data=True) for name in WEIGHTS if name in data}
    if not names:
        return None
    if len(names) > 1:
        found = " and ".join(sorted(names))
        raise InputError(f"graph: expected one attribute of weights, found {found}")
    values = [weight for *_, weight in graph.edges(data=names.pop(), default=1)]
    return checked(as_array(values), len(values))


def _of_matrix(matrix: Any, mirror: str) -> Edges:
    rows, columns = matrix.shape if matrix.ndim == 2 else (matrix.shape, None)
    if rows != columns:
        raise InputError(f"graph: expected a matrix [N, N], found {list(matrix.shape)}")
    stored = matrix.data != 0
    weights = checked(matrix.data[stored], int(stored.sum()))
    source, target = (ids[stored].astype(np.int64) for ids in (matrix.row, matrix.col))
    return Edges(source, target, rows, mirror, weights if are_weights(weights) else None)


def _of_index(index: Tensor | np.ndarray, num_nodes: int | None, name: str = "edge_index") -> Edges:
    ids = index.detach().cpu().numpy() if isinstance(index, Tensor) else index
    if ids.ndim != 2 or ids.shape[0] != 2 or ids.dtype.kind not in "iu":
        found = f"{ids.dtype} {list(ids.shape)}"
        square = ids.ndim == 2 and ids.shape[0] == ids.shape[1]
        hint = "; scipy.sparse.csr_array(graph) makes a sparse matrix of it" if square else ""
        raise InputError(
            f"graph: expected {TAKEN}; found {found}, which is none{hint}"
            if name == "edge_index"
            else f"graph: expected integers [2, E] in {name}, found {found}"
        )
    N = int(ids.max(initial=-1)) + 1 if num_nodes is None else num_nodes
    wrong = ((ids < 0) | (ids >= N)).any(axis=0)
    if wrong.any():
        edge = int(wrong.argmax())
        raise InputError(
            f"graph: expected node ids 0 to {N - 1} in edge_index, found edge "
            f"{ids[0, edge]}, {ids[1, edge]} in column {edge}"
        )
    source, target = ids.astype(np.int64)
    return Edges(source, target, N, "torch.cat([edge_index, edge_index.flip(0)], 1) adds it")


def _of_pyg(data: Any, index: Tensor | np.ndarray, num_nodes: int | None) -> Edges:
    weights = getattr(data, "edge_weight", None)
    if getattr(data, "x", None) is not None:
        num_nodes = len(data.x)
    elif num_nodes is None:  # Data would guess it from the ids, where nobody told it
        num_nodes = getattr(data, "num_nodes", None)
    edges = _of_index(index, num_nodes, "Data.edge_index")
    if weights is None:
        return edges
    return edges._replace(weights=checked(as_array(weights), len(edges.source)))
