from types import SimpleNamespace
from typing import Any

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
import torch

from infgrand_dgl import DistillationLoss, influence_scores, propagate_features
from infgrand_dgl.errors import InputError
from infgrand_dgl.graph import CSRGraph, as_csr
from infgrand_dgl.graph.convert import edges_of
from infgrand_dgl.graph.dgl_bridge import dgl
from tests.conftest import dense_adjacency

N = 30


def edge_index() -> np.ndarray:
    """Both directions, some edges twice, a self-loop, the last node isolated."""
    source, target = np.random.randint(0, N - 1, size=(2, 60))
    one_way = np.stack([np.append(source, [3, 3]), np.append(target, [3, 4])])
    return np.concatenate([one_way, one_way[::-1]], axis=1)


def matrix(index: np.ndarray) -> sp.coo_matrix:
    return sp.coo_matrix((np.ones(index.shape[1], np.float32), index), (N, N))


def networkx(index: np.ndarray) -> nx.Graph:
    graph = nx.Graph(index.T.tolist())  # in the order of the edges
    graph.add_nodes_from(range(N))
    return graph


def pyg(index: np.ndarray) -> SimpleNamespace:
    """PyG's Data has these attributes."""
    return SimpleNamespace(edge_index=torch.from_numpy(index), x=torch.rand(N, 3))


def stored_zero(index: np.ndarray) -> sp.csr_matrix:
    """One entry more, of no edge."""
    m = matrix(index).tocsr()
    (rows, cols) = np.nonzero(m.toarray() == 0)
    extra = sp.coo_matrix(([1.0], (rows[:1], cols[:1])), (N, N))
    m = (m + extra).tocsr()
    m[rows[0], cols[0]] = 0
    assert m.nnz > matrix(index).tocsr().nnz
    return m


FORMS = {
    "DGLGraph": lambda e: dgl.graph((e[0], e[1]), num_nodes=N),
    "CSRGraph": lambda e: CSRGraph.from_edges(e[0], e[1], N),
    "edge_index tensor": torch.from_numpy,
    "edge_index int32 tensor": lambda e: torch.from_numpy(e).int(),
    "edge_index array": lambda e: e,
    "edge_index uint32 array": lambda e: e.astype(np.uint32),
    "SciPy COO": matrix,
    "SciPy CSR": lambda e: matrix(e).tocsr(),
    "SciPy CSC of counts": lambda e: matrix(e).tocsc().astype(int),
    "SciPy LIL of booleans": lambda e: matrix(e).tolil().astype(bool),
    "SciPy array": lambda e: sp.csr_array(matrix(e)),
    "SciPy with a stored zero": stored_zero,
    "torch COO": lambda e: torch.sparse_coo_tensor(e, torch.ones(e.shape[1]), (N, N)),
    "torch CSR": lambda e: torch.from_numpy(matrix(e).toarray()).to_sparse_csr(),
    "torch COO in bfloat16": lambda e: torch.sparse_coo_tensor(
        e, torch.ones(e.shape[1], dtype=torch.bfloat16), (N, N)
    ),
    "torch CSR in float16": lambda e: torch.from_numpy(matrix(e).toarray()).half().to_sparse_csr(),
    "NetworkX": networkx,
    "NetworkX, both directions": lambda e: networkx(e).to_directed(),
    "PyG": pyg,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_graph(form):
    index = edge_index()
    given = FORMS[form](index)
    expected = dense_adjacency(CSRGraph.from_edges(index[0], index[1], N))
    assert torch.equal(dense_adjacency(as_csr(given, num_nodes=N)), expected)

    x, logits = torch.rand(N, 5), torch.rand(N, 3)
    reference = CSRGraph.from_edges(index[0], index[1], N)
    influence = influence_scores(given, x)
    assert torch.equal(influence, influence_scores(reference, x))
    assert torch.equal(
        propagate_features(given, x, hops=2), propagate_features(reference, x, hops=2)
    )
    losses = [
        DistillationLoss(g, logits, influence, gamma1=1.0, gamma2=0.5, tau=2.0)
        for g in (given, reference)
    ]
    student = torch.rand(N, 3)
    assert torch.equal(*(loss(student) for loss in losses))


def weighted_edges() -> tuple[np.ndarray, np.ndarray]:
    """Both directions, each edge once, a self-loop, the last node isolated; their weights."""
    pairs = np.unique(np.sort(np.random.randint(0, N - 1, size=(60, 2)), axis=1), axis=0)
    pairs = np.unique(np.append(pairs, [[3, 3], [3, 4]], axis=0), axis=0)
    weights = np.random.uniform(0.1, 3, len(pairs)).astype(np.float32)
    index, proper = pairs.T, pairs[:, 0] != pairs[:, 1]
    both = np.concatenate([index, index[::-1][:, proper]], axis=1)
    order = np.random.permutation(both.shape[1])
    return both[:, order], np.append(weights, weights[proper])[order]


def weighted_dgl(index: np.ndarray, weights: np.ndarray, name: str = "weight") -> Any:
    graph = dgl.graph((index[0], index[1]), num_nodes=N)
    graph.edata[name] = torch.from_numpy(weights)
    return graph


def weighted_networkx(index: np.ndarray, weights: np.ndarray, name: str = "weight") -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from(range(N))
    for (u, v), weight in zip(index.T.tolist(), weights.tolist(), strict=True):
        graph.add_edge(u, v, **{name: weight})
    return graph


def weighted_matrix(index: np.ndarray, weights: np.ndarray) -> sp.coo_matrix:
    return sp.coo_matrix((weights, index), (N, N))


WEIGHTED = {
    "DGLGraph": weighted_dgl,
    "DGLGraph, a column": lambda e, w: weighted_dgl(e, w.astype(np.float64)[:, None], "w"),
    "CSRGraph": lambda e, w: CSRGraph.from_edges(e[0], e[1], N, w),
    "SciPy COO": weighted_matrix,
    "SciPy CSC in float64": lambda e, w: weighted_matrix(e, w).tocsc().astype(float),
    "SciPy DIA": lambda e, w: weighted_matrix(e, w).todia(),
    "torch COO": lambda e, w: torch.sparse_coo_tensor(e, torch.from_numpy(w), (N, N)),
    "torch CSR": lambda e, w: torch.from_numpy(weighted_matrix(e, w).toarray()).to_sparse_csr(),
    "NetworkX": weighted_networkx,
    "NetworkX, both directions": lambda e, w: weighted_networkx(e, w, "edge_weight").to_directed(),
    "PyG": lambda e, w: SimpleNamespace(
        edge_index=torch.from_numpy(e), edge_weight=torch.from_numpy(w), num_nodes=N
    ),
}


@pytest.mark.parametrize("form", WEIGHTED)
def test_every_form_has_the_same_weights(form):
    index, weights = weighted_edges()
    expected = torch.eye(N, dtype=torch.float64)
    proper = index[0] != index[1]
    expected[tuple(index[:, proper])] = torch.from_numpy(weights[proper]).double()
    found = as_csr(WEIGHTED[form](index, weights), num_nodes=N)
    assert found.symmetric and found.weights is not None
    assert found.weights.dtype == torch.float32
    assert torch.equal(dense_adjacency(found), expected)
    given = edges_of(WEIGHTED[form](index, weights), N)
    assert torch.equal(dense_adjacency(CSRGraph.mirrored(*given)), expected)


def test_equal_values_and_counts_of_a_matrix_are_no_weights():
    index, weights = weighted_edges()
    for values in (np.full_like(weights, 0.5), np.floor(1 + weights)):
        assert as_csr(weighted_matrix(index, values)).weights is None


def test_named_values_are_weights_whatever_they_look_like():
    index, weights = weighted_edges()
    whole = np.floor(1 + weights)
    for graph in (weighted_networkx(index, whole), weighted_dgl(index, whole.astype(int))):
        A = dense_adjacency(as_csr(graph))
        proper = index[0] != index[1]
        assert torch.equal(A[tuple(index[:, proper])], torch.from_numpy(whole[proper]).double())


def test_an_edge_of_networkx_without_a_weight_weighs_1():
    graph = nx.Graph([(0, 1, {"weight": 0.25}), (1, 2)])
    assert dense_adjacency(as_csr(graph)).tolist() == [[1, 0.25, 0], [0.25, 1, 1], [0, 1, 1]]


def test_edge_attributes_of_pyg_are_no_weights():
    index, weights = weighted_edges()
    data = pyg(index)
    data.edge_attr = torch.from_numpy(weights)[:, None]
    assert as_csr(data).weights is None


def test_two_weights_of_a_dgl_graph_are_one_error():
    graph = weighted_dgl(*weighted_edges())
    graph.edata["w"] = graph.edata["weight"]
    with pytest.raises(InputError, match="one edata of weights, found w and weight"):
        as_csr(graph)


@pytest.mark.parametrize("form", ["ragged", "complex", "text"])
def test_weights_that_are_no_numbers_are_one_error(form):
    index = np.array([[0, 1, 1, 2], [1, 0, 2, 1]])
    graph: Any
    if form == "ragged":
        graph = nx.Graph([(0, 1, {"weight": 1}), (1, 2, {"weight": [2, 3]})])
    elif form == "complex":
        graph = dgl.graph(tuple(index))
        graph.edata["weight"] = torch.rand(4, dtype=torch.complex64)
    else:
        graph = SimpleNamespace(edge_index=index, edge_weight="heavy", num_nodes=3)
    with pytest.raises(InputError, match="^graph: expected numbers as edge weights, found"):
        as_csr(graph, "cpu")


def test_names_of_networkx_are_numbered_as_listed():
    graph = nx.Graph([("c", "a"), ("a", "b")])
    A = dense_adjacency(as_csr(graph))
    assert A.tolist() == [[1, 1, 0], [1, 1, 1], [0, 1, 1]]  # c, a, b


def test_networkx_of_numbers_keeps_them():
    graph = nx.Graph([(2, 0), (0, 1)])
    assert dense_adjacency(as_csr(graph)).tolist() == [[1, 1, 1], [1, 1, 0], [1, 0, 1]]


def test_features_as_arrays_and_scipy_matrices():
    x, index = np.random.rand(N, 4) * (np.random.rand(N, 4) < 0.3), edge_index()
    expected = influence_scores(index, torch.from_numpy(x).float())
    for given in (x, sp.csr_matrix(x)):
        torch.testing.assert_close(influence_scores(index, given), expected)
        out = propagate_features(index, given, hops=1)
        assert out.dtype == torch.float32 and out.shape == (N, 4)


def test_arrays_to_read_alone_pass_in_silence(recwarn):
    """As pandas gives them."""
    x = np.random.rand(N, 4).astype(np.float32)
    x.flags.writeable = False
    propagate_features(edge_index(), x, hops=1)
    assert not recwarn.list


BAD = {
    "a list": ([[0, 1], [1, 0]], "graph: expected a DGLGraph, .*; found list"),
    "nothing": (None, "found NoneType"),
    "dense matrix": (np.eye(N), r"found float64 \[30, 30\], which is none; scipy.sparse.csr_array"),
    "dense tensor": (torch.eye(N), r"found float32 \[30, 30\], which is none; scipy.sparse"),
    "edges by rows": (np.zeros((50, 2), int), r"expected .*edge_index \[2, E\].*found int64 \[50"),
    "floats": (torch.rand(2, 9), r"found float32 \[2, 9\], which is none$"),
    "out of range": (np.array([[0, N], [N, 0]]), "ids 0 to 29 in edge_index, found edge 0, 30 in"),
    "negative": (torch.tensor([[0, -1], [-1, 0]]), "found edge 0, -1 in column 0"),
    "directed": (np.array([[4], [2]]), "but edge 4 -> 2 has no reverse; torch.cat"),
    "directed matrix": (sp.coo_matrix(([1], ([4], [2])), (N, N)), "no reverse; graph . graph.T"),
    "directed NetworkX": (nx.path_graph(N, nx.DiGraph), "no reverse; graph.to_undirected"),
    "oblong": (sp.eye(N, N + 1), r"expected a matrix \[N, N\], found \[30, 31\]"),
    "oblong tensor": (torch.eye(N, 4).to_sparse(), r"expected a matrix \[N, N\]"),
    "negative weights": (
        sp.diags(np.linspace(-0.5, 2.5, N)),
        "of 0 .no edge. or above, .* found -0.5",
    ),
    "negative alike": (
        -sp.eye(N),
        "edge weights of 0 .no edge. or above, finite and within float32, found -1",
    ),
    "weights that are NaN": (sp.diags(np.full(N, np.nan)), "found nan"),
    "weights beyond float32": (sp.diags(np.linspace(1, 1e39, N)), "found 3.4.*e.38"),
    "weights below float32": (sp.diags(np.linspace(1e-60, 1, N)), "found 1e-60"),
    "complex weights": (sp.eye(N, dtype=complex), "numbers as edge weights, found complex128"),
    "texts in NetworkX": (nx.Graph([(0, 1, {"weight": "heavy"})]), "edge weights, found <U5"),
    "two attributes": (nx.Graph([(0, 1, {"w": 1, "weight": 2})]), "found w and weight"),
    "unlike directions": (
        sp.coo_matrix(([0.5, 2.0], ([4, 2], [2, 4])), (N, N)),
        "undirected graph, but edge 4 -> 2 weighs 0.5 and its reverse 2",
    ),
    "weights of one direction": (
        sp.coo_matrix(([0.5, 2.0, 2.0], ([4, 2, 3], [3, 4, 4])), (N, N)),
        "but edge 2 -> 4 has no reverse; graph . graph.T",
    ),
    "two types": (SimpleNamespace(edge_index_dict={}), "found SimpleNamespace"),
    "floats in PyG": (
        SimpleNamespace(edge_index=torch.rand(2, 3)),
        r"expected integers \[2, E\] in Data.edge_index, found float32 \[2, 3\]",
    ),
    "other weights than edges in PyG": (
        SimpleNamespace(edge_index=torch.tensor([[0, 1], [1, 0]]), edge_weight=torch.rand(2, 2)),
        r"one weight for each of the 2 edges, found \[2, 2\]",
    ),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("use", ["influence", "propagation", "loss"])
def test_one_error_of_all_uses(case, use):
    graph, told = BAD[case]
    x = torch.rand(N, 3)
    with pytest.raises(InputError, match=told) as error:
        if use == "influence":
            influence_scores(graph, x)
        elif use == "propagation":
            propagate_features(graph, x, hops=1)
        else:
            DistillationLoss(graph, x, x[:, 0], gamma1=1.0, gamma2=0.0, tau=1.0)
    assert "\n" not in str(error.value)


def test_other_than_tensors_in_the_loss():
    x: Any = np.random.rand(N, 3)
    with pytest.raises(InputError, match="teacher_logits: expected a tensor, found ndarray"):
        DistillationLoss(edge_index(), x, x[:, 0], gamma1=1.0, gamma2=0.0, tau=1.0)
