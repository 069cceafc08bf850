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


BAD = {
    "a list": ([[0, 1], [1, 0]], "graph: expected a DGLGraph, .*; found list"),
    "nothing": (None, "found NoneType"),
    "dense matrix": (np.eye(N, dtype=int), r"found int64 \[30, 30\], which is none"),
    "edges by rows": (np.zeros((50, 2), int), r"expected .*edge_index \[2, E\].*found int64 \[50"),
    "floats": (torch.rand(2, 9), r"found float32 \[2, 9\]"),
    "out of range": (np.array([[0, N], [N, 0]]), "ids 0 to 29 in edge_index, found edge 0, 30 in"),
    "negative": (torch.tensor([[0, -1], [-1, 0]]), "found edge 0, -1 in column 0"),
    "directed": (np.array([[4], [2]]), "but edge 4 -> 2 has no reverse; torch.cat"),
    "directed matrix": (sp.coo_matrix(([1], ([4], [2])), (N, N)), "no reverse; graph . graph.T"),
    "directed NetworkX": (nx.path_graph(N, nx.DiGraph), "no reverse; graph.to_undirected"),
    "oblong": (sp.eye(N, N + 1), r"expected a matrix \[N, N\], found \[30, 31\]"),
    "oblong tensor": (torch.eye(N, 4).to_sparse(), r"expected a matrix \[N, N\]"),
    "weights": (sp.diags(np.linspace(0.5, 2.5, N)), "weights are not supported, found 0.5 to 2.5"),
    "two types": (SimpleNamespace(edge_index_dict={}), "found SimpleNamespace"),
    "floats in PyG": (
        SimpleNamespace(edge_index=torch.rand(2, 3)),
        r"expected integers \[2, E\] in Data.edge_index, found float32 \[2, 3\]",
    ),
    "weights in PyG": (
        SimpleNamespace(
            edge_index=torch.tensor([[0, 1], [1, 0]]), edge_weight=torch.tensor([0.5, 0.7])
        ),
        "weights are not supported, found 0.5 to 0.7",
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
